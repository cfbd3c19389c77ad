"""EST of the DigiCert ONE stand-in: what it issues, whom it lets in, and how badly it can behave."""

import base64
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID

from sandbox import pki
from sandbox.digicert import ACCESS, REST_PROFILE
from tests.sandbox.digicert_one import EST, Answer, DigiCert, csr_for, csr_pem, new_key, run, spki
from tests.sandbox.serving import client_chain
from tests.sandbox.verifying import verify

A_CERTIFICATE = "application/pkcs7-mime; smime-type=certs-only"


def certificates_in(answer: Answer) -> list[x509.Certificate]:
    assert answer.status == 200
    assert answer.headers["Content-Type"] == A_CERTIFICATE
    assert max(len(line) for line in answer.body.split(b"\n")) == 64
    return pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.body))


def test_a_device_gets_one_certificate_that_verifies_and_says_what_the_csr_said() -> None:
    async def steps(one: DigiCert) -> None:
        csr = csr_for("dev-1", dns="dev-1")
        (leaf,) = certificates_in(await one.enroll(csr))
        assert leaf.subject == csr.subject
        assert spki(leaf) == spki(csr)
        extensions = leaf.extensions
        assert extensions.get_extension_for_class(x509.SubjectAlternativeName).value == x509.SubjectAlternativeName(
            [x509.DNSName("dev-1")]
        )
        assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
            ExtendedKeyUsageOID.CLIENT_AUTH
        ]
        assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=90, minutes=5)
        trusted = certificates_in(await one.ask("GET", f"{EST}/cacerts"))
        (root,) = [each for each in trusted if each.subject == each.issuer]
        between = [each for each in trusted if each != root]
        assert verify(leaf, between, root, one.world.clock.now()) == 3

    run(steps)


def test_openssl_reads_the_answers(tmp_path: Path) -> None:
    async def steps(one: DigiCert) -> None:
        for name, answer in (("leaf", await one.enroll(csr_for("d"))), ("cas", await one.ask("GET", f"{EST}/cacerts"))):
            (tmp_path / name).write_bytes(answer.body)

    run(steps)
    for name, count in (("leaf", 1), ("cas", 2)):
        decode = f"openssl base64 -d -in {tmp_path / name} | openssl pkcs7 -inform DER -print_certs"
        shown = subprocess.run(["sh", "-c", decode], check=True, capture_output=True, text=True).stdout
        assert shown.count("-----BEGIN CERTIFICATE-----") == count


def test_the_same_request_twice_makes_two_certificates_and_both_are_counted() -> None:
    async def steps(one: DigiCert) -> None:
        csr = csr_for("dev-1")
        first, second = certificates_in(await one.enroll(csr)), certificates_in(await one.enroll(csr))
        assert first != second
        issued = (await one.ask("GET", "/sandbox/issued")).json
        assert [each["serial"] for each in issued] == [f"{each.serial_number:032X}" for each in (*first, *second)]
        assert len({each["spki_sha256"] for each in issued}) == 1
        assert {each["status"] for each in issued} == {"ISSUED"}

    run(steps)


def test_without_credentials_comes_a_challenge_and_with_an_api_key_too() -> None:
    async def steps(one: DigiCert) -> None:
        good = one.credentials.digicert_passcode
        for basic in ("", ":wrong", f"somebody:{good}", good, ":ü"):
            answer = await one.enroll(csr_for("d"), basic=basic)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
        key = {"x-api-key": one.credentials.digicert_api_key}
        assert (await one.enroll(csr_for("d"), basic="", headers=key)).status == 401
        assert (await one.enroll(csr_for("d"), basic=f":{good}")).status == 200

    run(steps)


def test_the_clientauth_host_takes_its_certificate_and_nothing_else() -> None:
    async def steps(one: DigiCert) -> None:
        good = client_chain(one.credentials.digicert_client_certificate)
        other = client_chain(one.ca.hierarchy.ica.certificate)
        assert (await one.enroll(csr_for("d"), basic="", headers=good, host="127.0.0.1")).status == 200
        assert (await one.enroll(csr_for("d"), basic="", headers=other, host="127.0.0.1")).status == 401
        assert (await one.enroll(csr_for("d"), host="127.0.0.1")).status == 401
        assert (await one.enroll(csr_for("d"), basic="", headers=good)).status == 401

    run(steps)


def test_a_rotated_passcode_replaces_the_old_one() -> None:
    async def steps(one: DigiCert) -> None:
        one.app[ACCESS].passcode = "new"
        assert (await one.enroll(csr_for("d"))).status == 401
        assert (await one.enroll(csr_for("d"), basic=":new")).status == 200

    run(steps)


def test_bad_requests_are_refused_and_nothing_is_issued() -> None:
    async def steps(one: DigiCert) -> None:
        csr = csr_for("dev-1")
        der = csr.public_bytes(Encoding.DER)
        tampered = der[:-1] + bytes([der[-1] ^ 1])
        for data in (
            csr_pem(csr).encode(),
            der,
            b"",
            b"*",
            base64.b64encode(tampered),
            base64.b64encode(der) + b"AAAA",
        ):
            answer = await one.enroll(csr, data=data)
            assert (answer.status, answer.json["errors"][0]["code"]) == (400, "invalid_input")
        assert (await one.enroll(csr, headers={"Content-Type": "text/plain"})).status == 400
        for path, status in (("IOT_nothing", 404), (REST_PROFILE, 400)):
            assert (await one.ask("POST", f"/.well-known/est/{path}/simpleenroll")).status == status
        for method, operation in (("POST", "serverkeygen"), ("GET", "simpleenroll")):
            assert (await one.ask(method, f"{EST}/{operation}")).status == 501
        assert one.ca.issued == []

    run(steps)


def test_weak_keys_and_requests_without_a_name_are_refused() -> None:
    async def steps(one: DigiCert) -> None:
        weak_rsa = rsa.generate_private_key(65537, 1024)  # noqa: S505  weak is the point
        weak_ec = ec.generate_private_key(ec.SECP224R1())
        name = pki.common_name("d")
        for subject, key in ((name, weak_rsa), (name, weak_ec), (x509.Name([]), new_key())):
            builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
            assert (await one.enroll(builder.sign(key, hashes.SHA256()))).status == 400

    run(steps)


def test_reenrollment_needs_a_certificate_with_the_same_names() -> None:
    async def steps(one: DigiCert) -> None:
        assert (await one.enroll(csr_for("dev-1"), operation="simplereenroll")).status == 403
        await one.enroll(csr_for("dev-1", dns="a"))
        assert (await one.enroll(csr_for("dev-1", dns="b"), operation="simplereenroll")).status == 403
        assert (await one.enroll(csr_for("dev-1"), operation="simplereenroll")).status == 403
        assert (await one.enroll(csr_for("dev-1", dns="a"), operation="simplereenroll")).status == 200
        for entry in one.ca.issued:
            one.ca.revoke(entry, "key_compromise")
        assert (await one.enroll(csr_for("dev-1", dns="a"), operation="simplereenroll")).status == 403

    run(steps)


def test_csrattrs_is_a_base64_sequence() -> None:
    async def steps(one: DigiCert) -> None:
        answer = await one.ask("GET", f"{EST}/csrattrs")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/csrattrs")
        der = base64.b64decode(answer.body)
        assert (der[0], der[1]) == (0x30, len(der) - 2)

    run(steps)


def test_after_a_roll_the_new_ca_issues_and_both_are_announced_unless_the_old_is_hidden() -> None:
    async def steps(one: DigiCert) -> None:
        (old,) = certificates_in(await one.enroll(csr_for("dev-1")))
        one.ca.roll()
        (new,) = certificates_in(await one.enroll(csr_for("dev-1")))
        assert [each.issuer.rfc4514_string()[-1] for each in (old, new)] == ["1", "2"]
        shown = certificates_in(await one.ask("GET", f"{EST}/cacerts"))
        assert {old.issuer, new.issuer, one.ca.hierarchy.root.certificate.subject} == {each.subject for each in shown}
        one.ca.roll(announce_old=False)
        assert len(certificates_in(await one.ask("GET", f"{EST}/cacerts"))) == 2

    run(steps)


def test_the_stand_in_issues_by_the_clock_of_the_world() -> None:
    async def steps(one: DigiCert) -> None:
        one.world.clock.offset = timedelta(days=400)
        (leaf,) = certificates_in(await one.enroll(csr_for("dev-1")))
        assert leaf.not_valid_before_utc < one.world.clock.now() < leaf.not_valid_after_utc
        assert one.world.clock.now() - leaf.not_valid_before_utc < timedelta(minutes=6)

    run(steps)


def test_planned_misbehaviour_with_certificates() -> None:
    async def steps(one: DigiCert) -> None:
        key = new_key()
        csr = csr_for("dev-1", key)
        ica = one.ca.hierarchy.ica.certificate
        bad = {}
        for kind in ("wrong_key", "other_issuer", "expired", "other_subject"):
            one.plan(kind)
            (bad[kind],) = certificates_in(await one.enroll(csr))
        assert spki(bad["wrong_key"]) != spki(csr)
        assert bad["other_issuer"].issuer == ica.subject
        with pytest.raises(InvalidSignature):
            bad["other_issuer"].verify_directly_issued_by(ica)
        assert bad["expired"].not_valid_after_utc < one.world.clock.now()
        assert bad["other_subject"].subject != csr.subject
        for kind in ("wrong_key", "expired", "other_subject"):
            bad[kind].verify_directly_issued_by(ica)
        one.plan("two_certificates")
        assert len(certificates_in(await one.enroll(csr))) == 2
        assert len(one.ca.issued) == 4  # the rogue CA keeps no books here

    run(steps)


def test_planned_misbehaviour_without_certificates() -> None:
    async def steps(one: DigiCert) -> None:
        csr = csr_for("dev-1")
        one.plan("pending", seconds=7)
        answer = await one.enroll(csr)
        assert (answer.status, answer.headers["Retry-After"]) == (202, "7")
        one.plan("garbage")
        answer = await one.enroll(csr)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        shapes = []
        for number in (1, 2, 3):
            one.plan(f"error_shape_{number}")
            answer = await one.enroll(csr)
            assert answer.status == 400
            shapes.append(sorted(answer.json))
        assert shapes == [["errors"], ["error"], ["code", "message"]]
        assert one.ca.issued == []
        one.plan("not_base64")
        answer = await one.enroll(csr)
        assert (answer.status, answer.headers["Content-Type"]) == (200, A_CERTIFICATE)
        assert answer.body.startswith(b"***")
        one.plan("no_pem")
        assert (await one.enroll(csr)).status == 501
        certificates_in(await one.enroll(csr))

    run(steps)
