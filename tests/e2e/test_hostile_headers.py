"""The client certificate header, which only the front end may write: forged, doubled, spelled otherwise, unreadable."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from sandbox import pki
from sandbox.device import Identity
from tests.e2e import csr, der, wire
from tests.e2e.est import PKCS10, Headers, Site, encoded, leaf, path, refused
from tests.e2e.wire import Answer

GOOD = encoded(csr.request())
HEADER = "X-ARR-ClientCert"
ALIAS = "X_ARR_ClientCert"


def value(identity: Identity) -> str:
    return base64.b64encode(identity.leaf.public_bytes(Encoding.DER)).decode()


def pem(identity: Identity) -> str:
    """In one line, as a header must be."""
    return identity.leaf.public_bytes(Encoding.PEM).decode().replace("\n", " ").strip()


def directly(site: Site, *headers: tuple[str, str], trusted: bool = True) -> Answer:
    """Past the front end, to the function host; `trusted` with the secret by which the front end proves itself."""
    proof = [("X-Front-End-Secret", site.secret("front-end-secret"))] if trusted else []
    return wire.send(None, wire.request("POST", path("simpleenroll"), GOOD, (PKCS10, *proof, *headers)), port=wire.HOST)


def test_a_header_that_the_front_end_has_not_vouched_for_is_forbidden(site: Site, hostile: Identity) -> None:
    with site.nothing_issued():
        refused(directly(site, (HEADER, value(hostile)), trusted=False), 403, "not allowed")
        wrong: Headers = [(HEADER, value(hostile)), ("X-Front-End-Secret", "guessed")]
        refused(directly(site, *wrong, trusted=False), 403, "not allowed")
        empty: Headers = [(HEADER, value(hostile)), ("X-Front-End-Secret", "")]
        refused(directly(site, *empty, trusted=False), 403, "not allowed")


def test_a_proof_beyond_ascii_is_a_wrong_proof_and_no_error_of_ours(site: Site, hostile: Identity) -> None:
    with site.nothing_issued():
        headers: Headers = [(HEADER, value(hostile)), ("X-Front-End-Secret", "\xe9")]
        refused(directly(site, *headers, trusted=False), 403, "not allowed")


@pytest.mark.parametrize("name", [HEADER, HEADER.lower(), ALIAS, "X-Client-Cert", "Client-Cert", "X-ARR-SSL"])
def test_a_forged_header_through_the_front_end_counts_as_none(site: Site, hostile: Identity, name: str) -> None:
    with site.nothing_issued():
        headers = (PKCS10, (name, value(hostile)), ("X-Front-End-Secret", "guessed"))
        refused(site.enroll(None, GOOD, headers=headers), 401, "is required")


def test_a_forged_header_beside_a_certificate_changes_nothing(site: Site, hostile: Identity) -> None:
    other = site.identity("hostile-other")
    with site.nothing_issued():
        for name in (HEADER, ALIAS):
            answer = site.enroll(other, GOOD, headers=(PKCS10, (name, value(hostile))))
            refused(answer, 403, "not the device")
    leaf(site.enroll(hostile, GOOD, headers=(PKCS10, (HEADER, value(other)), (ALIAS, value(other)))))


def test_the_path_header_of_the_front_end_cannot_be_forged_either(site: Site, hostile: Identity) -> None:
    with site.nothing_issued():
        headers = (PKCS10, ("X-WAWS-Unencoded-URL", path("simpleenroll")))
        refused(site.call("POST", "/.well-known/est/x/../simpleenroll", GOOD, headers, hostile), 404)


UNREADABLE: dict[str, Callable[[Identity], str]] = {
    "two certificates joined by a comma": lambda one: f"{value(one)},{value(one)}",
    "joined by a comma and a space": lambda one: f"{value(one)}, {value(one)}",
    "no base64": lambda _: "garbage!",
    "base64 of something else": lambda _: base64.b64encode(b"garbage").decode(),
    "a trailing byte": lambda one: base64.b64encode(one.leaf.public_bytes(Encoding.DER) + b"\0").decode(),
    "two certificates in the DER": lambda one: base64.b64encode(one.leaf.public_bytes(Encoding.DER) * 2).decode(),
    "two in PEM": lambda one: f"{pem(one)} {pem(one)}",
    "cut off": lambda one: value(one)[:-8],
    "URL-escaped PEM, as nginx sends it": lambda one: pem(one).replace(" ", "%20"),
    "a request instead of a certificate": lambda _: base64.b64encode(csr.request()).decode(),
    "(null)": lambda _: "(null)",
    "longer than any certificate": lambda _: "A" * 17_000,
    "beyond ASCII": lambda one: f"{value(one)}\xe9",
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_header_that_is_not_one_certificate_is_malformed(site: Site, hostile: Identity, case: str) -> None:
    with site.nothing_issued():
        refused(directly(site, (HEADER, UNREADABLE[case](hostile))), 400, "the client certificate")


def test_two_copies_of_the_header_are_malformed(site: Site, hostile: Identity) -> None:
    other = site.identity("hostile-other")
    with site.nothing_issued():
        for second in (hostile, other):
            answer = directly(site, (HEADER, value(hostile)), (HEADER.lower(), value(second)))
            refused(answer, 400, "the client certificate cannot be read")


@pytest.mark.parametrize("weak", [csr.rsa(1024), ec.SECP224R1()], ids=["RSA 1024", "P-224"])
def test_a_certificate_of_a_weak_key_is_forbidden(site: Site, weak: csr.Rsa | ec.EllipticCurve) -> None:
    """By the header alone: today's TLS libraries do not present such certificates any more."""
    spki = weak.spki if isinstance(weak, csr.Rsa) else der.spki(ec.generate_private_key(weak))
    key = load_der_public_key(spki)
    assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    certificate = pki.issue_leaf(site.factory, csr.NAME, key, datetime.now(UTC)).public_bytes(Encoding.DER)
    with site.nothing_issued():
        refused(directly(site, (HEADER, base64.b64encode(certificate).decode())), 403, "is not trusted here")


def test_a_header_spelled_with_underscores_is_another_header(site: Site, hostile: Identity) -> None:
    other = site.identity("hostile-other")
    with site.nothing_issued():
        refused(directly(site, (ALIAS, value(hostile))), 401, "is required")
    leaf(directly(site, (HEADER, value(hostile)), (ALIAS, value(other))))


@pytest.mark.parametrize("form", [value, pem])
def test_the_front_end_s_own_header_is_read_with_and_without_armour(
    site: Site, hostile: Identity, form: Callable[[Identity], str]
) -> None:
    leaf(directly(site, (HEADER, form(hostile))))


def test_a_forged_header_leaves_a_trace_for_the_operator(site: Site, hostile: Identity) -> None:
    answer = directly(site, (HEADER, value(hostile)), trusted=False)
    request_id = answer.text.rpartition("(request ")[2].rstrip(")\n")
    records = (site.sandbox.state / "logs" / "host.log").read_text().splitlines()
    (record,) = (json.loads(line) for line in records if request_id in line and line.startswith('{"event": "est"'))
    assert record["status"] == 403
    assert record["cause"] == "a client certificate header without the front end's secret"
    assert value(hostile)[:40] not in json.dumps(record)
