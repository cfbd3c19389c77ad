"""SCEP of the DigiCert ONE stand-in: what is no message, what is refused, and how badly it can behave.

Its real client, strongSwan, is in tests/interop.
"""

import base64
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import AttributeOID

from sandbox import pki
from sandbox.digicert import EST_PROFILE, WITHOUT_TLS
from sandbox.digicert.scep import message as messages
from sandbox.digicert.scep.cms import ContentInfo, attribute
from tests.sandbox.digicert_one import DigiCert, code_of, new_key, run, spki
from tests.sandbox.scep_device import SCEP, device, fail_info, post, rsa_key, self_signed
from tests.sandbox.serving import serving


def test_a_message_may_come_by_post_or_by_get_with_or_without_tls() -> None:
    async def steps(one: DigiCert) -> None:
        maker = await device(one)
        assert spki(maker.certificate(await post(one, maker.message()))) == spki(maker.csr())
        query = quote(base64.b64encode(maker.message()), safe="")
        path = f"{SCEP}?operation=PKIOperation&message={query}"
        assert maker.certificate(await one.ask("GET", path)).subject == pki.common_name("dev-1")
        async with serving(one.app[WITHOUT_TLS]) as port, ClientSession() as session:
            plain = replace(one, port=port, session=session)
            maker.certificate(await post(plain, maker.message()))
            assert (await plain.ask("GET", "/cacerts/x.crt")).status == 501
        assert len(one.ca.issued) == 3

    run(steps)


def test_the_capabilities_are_lines() -> None:
    async def steps(one: DigiCert) -> None:
        lines = (await one.ask("GET", f"{SCEP}?operation=GetCACaps")).body.decode().splitlines()
        assert {"AES", "SHA-256", "POSTPKIOperation", "Renewal", "SCEPStandard"} < set(lines)

    run(steps)


def test_what_is_no_message_is_a_loud_error() -> None:
    async def steps(one: DigiCert) -> None:
        maker = await device(one)
        good = maker.message()
        strange = replace(maker, more=[attribute(x509.ObjectIdentifier("1.2.3"), "?")]).message()
        twice = replace(maker, more=[attribute(messages.SENDER_NONCE, b"f" * 16)]).message()
        for body in (b"", b"SCEP", good + b"\0", good[:-1], maker.envelope(), strange, twice):
            assert code_of(await post(one, body)) == (400, "invalid_input")
        assert code_of(await post(one, replace(maker, nonce=b"short").message())) == (400, "invalid_input")
        plus = quote(base64.b64encode(good)).replace("%2B", "+").replace("=", "%3D")
        assert code_of(await one.ask("GET", f"{SCEP}?operation=PKIOperation&message={plus} ")) == (400, "invalid_input")
        assert one.ca.issued == []

    run(steps)


def test_an_unknown_operation_profile_or_parameter_is_a_loud_error() -> None:
    async def steps(one: DigiCert) -> None:
        for method, operation in (("GET", "GetNextCACert"), ("POST", "GetCACert"), ("GET", "")):
            assert (await one.ask(method, f"{SCEP}?operation={operation}")).status == 501
        assert (await one.ask("GET", f"{SCEP}?operation=GetCACert&message=x")).status == 400
        assert (await one.ask("GET", f"{SCEP}?operation=PKIOperation")).status == 400
        for profile, status in (("IOT_nothing", 404), (EST_PROFILE, 400)):
            assert (await one.ask("GET", f"/iot/api/v1/scep/{profile}?operation=GetCACaps")).status == status
        assert (await one.ask("GET", f"{SCEP}/cgi-bin/pkiclient.exe?operation=GetCACaps")).status == 501

    run(steps)


def test_a_request_is_refused_for_its_password_its_key_its_signer_or_its_type() -> None:
    async def steps(one: DigiCert) -> None:
        maker = await device(one)
        changes: list[tuple[dict[str, Any], str]] = [
            ({"password": ""}, messages.BAD_REQUEST),
            ({"password": "wrong"}, messages.BAD_REQUEST),
            ({"name": ""}, messages.BAD_REQUEST),
            ({"signer": self_signed(rsa_key())}, messages.BAD_REQUEST),
            ({"kind": messages.RENEWAL_REQ}, messages.BAD_REQUEST),
            ({"kind": "20"}, messages.BAD_REQUEST),
        ]
        for change, expected in changes:
            assert fail_info(await post(one, replace(maker, **change).message()))[0] == expected
        refused = [entry for entry in one.world.journal.since(0) if entry["event"] == "refused"]
        assert len(refused) == len(changes)
        assert one.ca.issued == []

    run(steps)


def test_a_changed_message_is_noticed() -> None:
    async def steps(one: DigiCert) -> None:
        maker = await device(one)
        message = asn1.decode_der(ContentInfo, maker.message())
        message.content.encapsulated.content = maker.envelope()
        assert fail_info(await post(one, asn1.encode_der(message))) == ("1", "the message digest is wrong")
        (info,) = message.content.signers.as_list()
        info.signature = info.signature[::-1]
        assert fail_info(await post(one, asn1.encode_der(message))) == ("1", "the signature is wrong")
        for_another = replace(maker, ra=self_signed(rsa_key()).certificate)
        assert fail_info(await post(one, for_another.message()))[0] == messages.BAD_MESSAGE_CHECK
        assert fail_info(await post(one, maker.message(b"no envelope")))[0] == messages.BAD_MESSAGE_CHECK

    run(steps)


def test_only_keys_that_can_decrypt_are_certified() -> None:
    async def steps(one: DigiCert) -> None:
        maker = await device(one)
        key = new_key()
        builder = x509.CertificateSigningRequestBuilder().subject_name(pki.common_name("dev-1"))
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, one.credentials.scep_passcode.encode())
        csr = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
        sealed = pkcs7.PKCS7EnvelopeBuilder().set_data(csr).add_recipient(maker.ra)
        envelope = sealed.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
        assert fail_info(await post(one, maker.message(envelope))) == (messages.BAD_ALG, "SCEP needs an RSA key")

    run(steps)


def test_after_a_roll_the_registration_authority_is_under_the_new_ca() -> None:
    async def steps(one: DigiCert) -> None:
        before = await device(one)
        one.ca.roll()
        after = await device(one)
        assert before.ra.issuer != after.ra.issuer == one.ca.hierarchy.ica.certificate.subject
        after.ra.verify_directly_issued_by(one.ca.hierarchy.ica.certificate)
        assert after.certificate(await post(one, after.message())).issuer == after.ra.issuer

    run(steps)


@pytest.mark.parametrize("kind", ["wrong_key", "other_subject", "other_issuer", "expired"])
def test_bad_certificates_are_issued_on_request(kind: str) -> None:
    async def steps(one: DigiCert) -> None:
        maker = await device(one)
        one.plan(kind)
        leaf = maker.certificate(await post(one, maker.message()))
        good = {
            "wrong_key": spki(leaf) == spki(maker.csr()),
            "other_subject": leaf.subject == pki.common_name("dev-1"),
            "other_issuer": any(each.certificate == leaf for each in one.ca.issued),
            "expired": leaf.not_valid_after_utc > one.world.clock.now(),
        }
        assert {name for name, right in good.items() if not right} == {kind}

    run(steps)


def test_other_faults_are_played_or_are_a_loud_error() -> None:
    async def steps(one: DigiCert) -> None:
        maker = await device(one)
        one.plan("garbage")
        assert (await post(one, maker.message())).headers["Content-Type"].startswith("text/html")
        one.plan("error_shape_2")
        assert (await one.ask("GET", f"{SCEP}?operation=GetCACaps")).status == 400
        one.plan("pending")
        assert (await post(one, maker.message())).status == 501
        assert one.ca.issued == []

    run(steps)
