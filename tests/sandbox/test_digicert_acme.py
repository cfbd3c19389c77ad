"""ACME of the DigiCert ONE stand-in: what is malformed, what is refused, and how badly it can behave.

Its real client, the library of certbot, is in tests/interop; the signatures here are of that library, too.
"""

import json
from typing import Any

import pytest
from acme.messages import Directory, ExternalAccountBinding
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from josepy.jwa import HS256, RS256
from josepy.jwk import JWKRSA, JWKOct

from sandbox import pki
from tests.sandbox.acme_client import BASE, URL, Client, csr, error, new_key, registered
from tests.sandbox.digicert_one import DigiCert, run


def test_an_order_leads_to_the_chain_without_its_root() -> None:
    async def steps(one: DigiCert) -> None:
        client = await registered(one)
        order = await client.order()
        finalized = await client.post(f"{order}/finalize", csr())
        assert json.loads(finalized.body)["status"] == "valid"
        path = json.loads(finalized.body)["certificate"].removeprefix(f"{URL}/")
        answer = await client.post(path, None)
        assert answer.headers["Content-Type"].startswith("application/pem-certificate-chain")
        leaf, ica = x509.load_pem_x509_certificates(answer.body)
        assert (leaf.subject, ica) == (pki.common_name("dev-1"), one.ca.hierarchy.ica.certificate)
        assert error(await client.post(f"{order}/finalize", csr())) == (403, "orderNotReady")
        assert len(one.ca.issued) == 1

    run(steps)


def test_the_directory_names_what_is_there() -> None:
    async def steps(one: DigiCert) -> None:
        answer = (await one.ask("GET", f"{BASE}/directory")).json
        assert answer["meta"] == {"externalAccountRequired": True}
        assert set(answer) == {"newNonce", "newAccount", "newOrder", "meta"}
        for path in ("directory/", "revoke-cert", "order/x"):
            assert (await one.ask("GET", f"{BASE}/{path}")).status == 501

    run(steps)


def test_an_rsa_key_signs_as_well() -> None:
    async def steps(one: DigiCert) -> None:
        client = Client(one, JWKRSA(key=rsa.generate_private_key(public_exponent=65537, key_size=2048)), RS256)
        assert (await client.register()).status == 201

    run(steps)


def test_a_nonce_is_good_once_and_for_the_signed_url_alone() -> None:
    async def steps(one: DigiCert) -> None:
        client = await registered(one)
        order = {"identifiers": [{"type": "dns", "value": "dev-1"}]}
        signed = await client.signed("new-order", order)
        assert (await client.send("new-order", signed)).status == 201
        assert error(await client.send("new-order", signed)) == (400, "badNonce")
        elsewhere = await client.signed("new-account", order)
        assert error(await client.send("new-order", elsewhere)) == (401, "unauthorized")

    run(steps)


def test_a_request_must_be_signed_by_the_account() -> None:
    async def steps(one: DigiCert) -> None:
        client = await registered(one)
        order = {"identifiers": [{"type": "dns", "value": "dev-1"}]}
        unknown = f"{URL}/account/unknown"
        assert error(await client.post("new-order", order, kid=unknown)) == (400, "accountDoesNotExist")
        assert error(await client.post("new-order", order, key=new_key())) == (400, "malformed")
        assert error(await client.post("new-order", order, kid=None)) == (400, "malformed")
        secret = {"key": JWKOct(key=b"secret"), "alg": HS256}
        assert error(await client.post("new-order", order, **secret)) == (400, "badSignatureAlgorithm")
        signed = await client.signed("new-order", order)
        changes: list[dict[str, Any]] = [
            {"payload": signed["payload"][:-4]},
            {"header": {}},
            {"protected": "*"},
            {"signature": 1},
        ]
        for change in changes:
            assert error(await client.send("new-order", signed | change)) == (400, "malformed")
        assert error(await client.send("new-order", signed, "application/json")) == (415, "malformed")
        assert error(await client.send("new-order", [])) == (400, "malformed")
        assert (await client.send("new-order", signed)).status == 201

    run(steps)


def test_who_gets_an_account() -> None:
    async def steps(one: DigiCert) -> None:
        client = Client(one, new_key())
        assert error(await client.post("new-account", {"onlyReturnExisting": True})) == (400, "accountDoesNotExist")
        assert error(await client.post("new-account", {})) == (403, "externalAccountRequired")
        assert error(await client.register(secret="x")) == (400, "malformed")
        first = await client.register()
        client.account = None
        again = await client.post("new-account", {"onlyReturnExisting": True})
        assert (again.status, again.headers["Location"]) == (200, first.headers["Location"])

    run(steps)


def test_a_binding_is_for_this_key_and_this_url() -> None:
    async def steps(one: DigiCert) -> None:
        hmac, key_id = one.credentials.acme_hmac_key, one.credentials.acme_key_id
        client, other = Client(one, new_key()), new_key()
        for key, url, status in ((other, f"{URL}/new-account", 400), (client.key, f"{URL}/new-order", 400)):
            directory = Directory({"newAccount": url})
            binding = ExternalAccountBinding.from_data(key.public_key(), key_id, hmac, directory)
            assert error(await client.post("new-account", {"externalAccountBinding": binding})) == (status, "malformed")

    run(steps)


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        ({"identifiers": []}, "malformed"),
        ({"identifiers": [{"type": "dns", "value": "a"}, {"type": "dns", "value": "b"}]}, "malformed"),
        ({"identifiers": [{"type": "dns", "value": "a"}], "notAfter": "2030-01-01T00:00:00Z"}, "malformed"),
        ({"identifiers": [{"type": "ip", "value": "127.0.0.1"}]}, "unsupportedIdentifier"),
        ({"identifiers": [{"type": "dns", "value": "*.a"}]}, "rejectedIdentifier"),
        ({"identifiers": [{"type": "dns", "value": "a_b"}]}, "rejectedIdentifier"),
    ],
)
def test_an_order_is_for_one_device(order: dict[str, Any], kind: str) -> None:
    async def steps(one: DigiCert) -> None:
        assert error(await (await registered(one)).post("new-order", order)) == (400, kind)

    run(steps)


def test_an_order_belongs_to_its_account_and_is_only_read() -> None:
    async def steps(one: DigiCert) -> None:
        client, other = await registered(one), await registered(one)
        order = await client.order()
        number = order.removeprefix("order/")
        for path in (order, f"authorization/{number}"):
            assert (await client.post(path, None)).status == 200
            assert error(await other.post(path, None)) == (404, "malformed")
            assert error(await client.post(path, {"status": "deactivated"})) == (400, "malformed")
        assert error(await other.post(f"{order}/finalize", csr())) == (404, "malformed")
        assert error(await client.post(f"certificate/{number}", None)) == (404, "malformed")
        for bad in ({}, {"csr": "AAAA"}, {"csr": 1}, csr("dev-2")):
            assert error(await client.post(f"{order}/finalize", bad))[0] == 400
        assert one.ca.issued == []

    run(steps)


@pytest.mark.parametrize("kind", ["wrong_key", "other_subject", "other_issuer", "expired"])
def test_bad_certificates_are_issued_on_request(kind: str) -> None:
    async def steps(one: DigiCert) -> None:
        client = await registered(one)
        order = await client.order()
        one.plan(kind, path="/finalize")
        key = ec.generate_private_key(ec.SECP256R1())
        await client.post(f"{order}/finalize", csr(key=key))
        answer = await client.post(order.replace("order/", "certificate/"), None)
        leaf = x509.load_pem_x509_certificates(answer.body)[0]
        good = {
            "wrong_key": leaf.public_key() == key.public_key(),
            "other_subject": leaf.subject == pki.common_name("dev-1"),
            "other_issuer": any(each.certificate == leaf for each in one.ca.issued),
            "expired": leaf.not_valid_after_utc > one.world.clock.now(),
        }
        assert {name for name, right in good.items() if not right} == {kind}

    run(steps)


def test_other_faults_are_played_or_are_a_loud_error() -> None:
    async def steps(one: DigiCert) -> None:
        client = await registered(one)
        order = await client.order()
        for kind, status in (("error_shape_1", 400), ("pending", 501), ("wrong_key", 501)):
            one.plan(kind, path="/order/")
            assert (await client.post(order, None)).status == status
        one.plan("garbage", path="/directory")
        assert (await one.ask("GET", f"{BASE}/directory")).body.startswith(b"<html>")

    run(steps)
