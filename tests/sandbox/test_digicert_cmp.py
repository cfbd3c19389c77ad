"""CMPv2 of the DigiCert ONE stand-in: what is no message, what is refused, and how badly it can behave.

Its real client, `openssl cmp`, is in tests/interop.
"""

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import pki
from sandbox.digicert import EST_PROFILE
from sandbox.digicert.cmp import syntax
from sandbox.digicert.cmp.syntax import (
    CERT_CONF,
    CP,
    CR,
    IP,
    IR,
    KUR,
    P10CR,
    PKICONF,
    StatusInfo,
    body,
    tag_of,
    tlv,
)
from tests.sandbox.cmp_device import CMP, Device, post, read
from tests.sandbox.digicert_one import DigiCert, code_of, csr_for, new_key, run


def test_what_is_no_message_is_a_loud_error() -> None:
    async def steps(one: DigiCert) -> None:
        device = Device(one)
        good = asn1.encode_der(device.message(IR, device.request()))
        for data in (b"", b"CMP", good + b"\0", good[:-1], asn1.encode_der(device.message(IR, b"\x02\x01\x00"))):
            assert code_of(await post(one, data)) == (400, "invalid_input")
        assert code_of(await post(one, good, "application/octet-stream")) == (400, "invalid_request")
        assert (await one.ask("GET", CMP)).status == 501
        for profile, status in (("IOT_nothing", 404), (EST_PROFILE, 400)):
            assert (await one.ask("POST", f"/iot/api/v1/cmp/{profile}")).status == status
        assert one.ca.issued == []

    run(steps)


def test_a_certificate_is_issued_and_confirmed() -> None:
    async def steps(one: DigiCert) -> None:
        device = Device(one)
        answer = await device.ask(IR, device.request(7))
        assert answer.kind == IP
        assert answer.certificate.public_key() == device.key.public_key()
        device.recipient_nonce = answer.header.sender_nonce
        assert (await device.confirm(answer.certificate, number=7)).kind == PKICONF
        again = await device.confirm(answer.certificate, number=7)
        assert again.refusal == (2, "there is nothing to be confirmed in this transaction")

    run(steps)


def test_a_confirmation_must_be_of_this_certificate_in_this_exchange() -> None:
    async def steps(one: DigiCert) -> None:
        device = Device(one)
        answer = await device.ask(CR, device.request())
        assert (await device.confirm(answer.certificate)).refusal[0] == 13
        device.recipient_nonce = answer.header.sender_nonce
        assert (await device.confirm(one.ca.hierarchy.ica.certificate)).refusal[0] == 4
        assert (await device.confirm(answer.certificate, number=1)).refusal[0] == 4
        assert (await device.confirm(answer.certificate)).kind == PKICONF

    run(steps)


def test_a_certificate_that_the_client_does_not_want_is_revoked() -> None:
    async def steps(one: DigiCert) -> None:
        device = Device(one)
        answer = await device.ask(IR, device.request())
        device.recipient_nonce = answer.header.sender_nonce
        rejection = StatusInfo(status=2, text=["no"], fail_info=None)
        assert (await device.confirm(answer.certificate, rejection)).kind == PKICONF
        assert [each.status(one.world.clock.now()) for each in one.ca.issued] == ["REVOKED"]

    run(steps)


def test_who_does_not_know_the_secret_is_refused_without_protection() -> None:
    async def steps(one: DigiCert) -> None:
        device = Device(one)
        for other in (replace(device, secret="wrong"), replace(device, reference="wrong")):
            answer = await other.ask(IR, device.request())
            assert answer.refusal == (1, "the reference or the secret is wrong")
            assert answer.header.protection is None
        bare = device.message(IR, device.request())
        bare.protection = None
        assert read(await post(one, asn1.encode_der(bare))).refusal == (1, "the message is not protected")
        changed = replace(device.message(IR, device.request()), body=body(CR, device.request()))
        assert read(await post(one, asn1.encode_der(changed))).refusal[0] == 1
        assert one.ca.issued == []

    run(steps)


def test_a_request_is_refused_for_what_is_in_it() -> None:
    async def steps(one: DigiCert) -> None:
        device = Device(one)
        refused: list[tuple[dict[str, Any], int, bytes, int]] = [
            ({"iterations": 99}, IR, device.request(), 0),
            ({"iterations": 100_001}, IR, device.request(), 0),
            ({"version": 1}, IR, device.request(), 22),
            ({}, IR, device.request(signer=new_key()), 9),
            ({}, IR, device.request(old=1), 2),
            ({}, KUR, device.request(), 4),
            ({}, KUR, device.request(old=1), 4),
            ({}, P10CR, nameless(), 19),
            ({}, 21, asn1.encode_der(asn1.Null()), 2),
        ]
        for change, kind, content, bit in refused:
            assert (await replace(device, **change).ask(kind, content)).refusal[0] == bit
        assert one.ca.issued == []
        events = [entry for entry in one.world.journal.since(0) if entry["event"] == "refused"]
        assert len(events) == len(refused)

    run(steps)


def nameless() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(new_key(), hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_transaction_id_is_used_once() -> None:
    async def steps(one: DigiCert) -> None:
        device = Device(one)
        csr = csr_for("dev-1").public_bytes(Encoding.DER)
        answer = await device.ask(P10CR, csr)
        assert (answer.kind, answer.certificate.subject) == (CP, pki.common_name("dev-1"))
        assert (await device.ask(P10CR, csr)).refusal[0] == 21
        assert (await replace(device, transaction=b"transaction 0002").ask(P10CR, csr)).kind == CP

    run(steps)


def test_an_update_by_secret_names_the_certificate_in_its_window() -> None:
    async def steps(one: DigiCert) -> None:
        device = Device(one)
        old = (await device.ask(IR, device.request())).certificate
        update = replace(device, transaction=b"transaction 0002", key=new_key())
        content = update.request(old=old.serial_number)
        assert (await update.ask(KUR, content)).refusal == (2, "the renewal window is not open")
        one.ca.renew_any_time = True
        assert (await update.ask(KUR, content)).certificate.public_key() == update.key.public_key()
        other = await one.enroll(csr_for("dev-1"))
        assert other.status == 200
        of_est = update.request(old=one.ca.issued[-1].certificate.serial_number)
        assert (await replace(update, transaction=b"transaction 0003").ask(KUR, of_est)).refusal[0] == 4

    run(steps)


@pytest.mark.parametrize("kind", ["wrong_key", "other_subject", "other_issuer", "expired"])
def test_bad_certificates_are_issued_on_request(kind: str) -> None:
    async def steps(one: DigiCert) -> None:
        device = Device(one)
        one.plan(kind)
        leaf = (await device.ask(CR, device.request())).certificate
        good = {
            "wrong_key": leaf.public_key() == device.key.public_key(),
            "other_subject": leaf.subject == pki.common_name("dev-1"),
            "other_issuer": any(each.certificate == leaf for each in one.ca.issued),
            "expired": leaf.not_valid_after_utc > one.world.clock.now(),
        }
        assert {name for name, right in good.items() if not right} == {kind}

    run(steps)


def test_other_faults_are_played_or_are_a_loud_error() -> None:
    async def steps(one: DigiCert) -> None:
        device = Device(one)
        message = asn1.encode_der(device.message(IR, device.request()))
        one.plan("garbage")
        assert (await post(one, message)).headers["Content-Type"].startswith("text/html")
        one.plan("error_shape_1")
        assert (await post(one, message)).status == 400
        one.plan("pending")
        assert (await post(one, message)).status == 501
        assert one.ca.issued == []
        answer = read(await post(one, message))
        device.recipient_nonce = answer.header.sender_nonce
        one.plan("wrong_key")
        confirmation = asn1.encode_der(device.message(CERT_CONF, b"\x30\x00"))
        assert (await post(one, confirmation)).status == 501
        assert code_of(await post(one, confirmation)) == (400, "invalid_input")
        assert (await device.confirm(answer.certificate)).kind == PKICONF

    run(steps)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_a_body_has_the_length_that_der_wants(size: int) -> None:
    content = bytes(size)
    assert bytes(body(IR, content).data) == content


def test_names_are_read_in_each_of_their_string_types() -> None:
    for text in ("dev-1", asn1.PrintableString("dev-1"), asn1.IA5String("dev-1")):
        attribute = syntax.NameAttribute(type=x509.NameOID.COMMON_NAME, value=text)
        assert syntax.name_of([asn1.SetOf([attribute])]) == pki.common_name("dev-1")
    assert tag_of(tlv(b"\x02\x01\x00")) == -1
