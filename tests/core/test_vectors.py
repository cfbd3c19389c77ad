"""Bytes made by others, and ours that must stay what they are. Their origins: tests/vectors/README.md."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from shared.core import chain, csr, der, est
from shared.core.certificate import check_issued
from shared.core.errors import Malformed, UpstreamRefused
from shared.core.names import check_subject
from shared.core.profile import RequestRules
from tests.core.making import NOW, request
from tests.vectors import make

FOLDER = Path(__file__).parent.parent / "vectors"

BY_OTHERS = {
    "rfc7030/a1-cacerts": (3133, "89a751b340e13e6a075e2ac4565b9cdb"),
    "rfc7030/a2-csrattrs": (126, "5c268b4b0a94502aaefc222962941167"),
    "rfc7030/a3-request": (649, "c8c8c5e7cd9f9bfe3e89223e6e968c1e"),
    "rfc7030/a3-response": (828, "b37aa0304a65fab5e93c5a7396e594e8"),
    "rfc7030/section-4.5.2-csrattrs": (67, "b967efaf2686c4072fb042658a17932a"),
    "csrattrs/realistic-acp": (106, "41c12cf1b436f66e"),
    "csrattrs/rfc7030-example01": (52, "c2f4cc57f5d54a62"),
    "csrattrs/harkins01": (43, "d0073c100c106c18"),
    "csrattrs/harkins02": (48, "b5ea2ec77d8f9c6f"),
    "csrattrs/harkins03": (71, "15696e648fedf0cd"),
}


def vector(name: str) -> bytes:
    return base64.b64decode((FOLDER / f"{name}.b64").read_bytes())


@pytest.mark.parametrize("name", BY_OTHERS)
def test_vectors_by_others_are_what_they_were(name: str) -> None:
    size, digest = BY_OTHERS[name]
    assert len(vector(name)) == size
    assert hashlib.sha256(vector(name)).hexdigest().startswith(digest)


@pytest.mark.parametrize("name", BY_OTHERS)
def test_the_reader_and_the_writer_of_der_agree_with_others(name: str) -> None:
    content = vector(name)
    (whole,) = der.values(content)
    assert der.encode(whole.tag, *(part.raw for part in der.values(whole.content))) == content


@pytest.mark.parametrize("name", ["a1-cacerts", "a2-csrattrs", "a3-response", "section-4.5.2-csrattrs"])
def test_answers_have_the_lines_of_the_rfc(name: str) -> None:
    text = (FOLDER / "rfc7030" / f"{name}.b64").read_bytes()
    assert est.encode(vector(f"rfc7030/{name}"), lines=True) == text


@pytest.mark.filterwarnings("ignore:PKCS#7 certificates could not be parsed as DER:UserWarning")
def test_the_cacerts_of_the_rfc_hold_a_root_that_rolls_over() -> None:
    certificates = pkcs7.load_der_pkcs7_certificates(vector("rfc7030/a1-cacerts"))
    names = {one.subject.rfc4514_string() for one in certificates}
    assert names == {f"CN=estExampleCA {which}" for which in ("OwO", "NwO", "OwN", "NwN")}
    # The sample's NwO and OwN are no CA certificates, and its SHA-1 signatures are not accepted today.
    with pytest.raises(UpstreamRefused):
        chain.check_chain(certificates)


def test_the_request_of_the_rfc_is_read_up_to_its_sha1_signature() -> None:
    body = (FOLDER / "rfc7030/a3-request.b64").read_bytes()
    decoded = csr.decode_body(body)
    assert decoded == vector("rfc7030/a3-request")
    with pytest.raises(Malformed, match="use SHA-256, SHA-384 or SHA-512"):
        csr.parse(decoded)
    assert check_subject(x509.load_der_x509_csr(decoded).subject)[0] == "demostep4 1368141352"


@pytest.mark.filterwarnings("ignore:PKCS#7 certificates could not be parsed as DER:UserWarning")
def test_the_response_of_the_rfc_holds_one_certificate_for_the_key_of_the_request() -> None:
    (leaf,) = pkcs7.load_der_pkcs7_certificates(vector("rfc7030/a3-response"))
    asked = x509.load_der_x509_csr(vector("rfc7030/a3-request"))
    assert leaf.public_key() == asked.public_key()
    assert leaf.subject == asked.subject
    with pytest.raises(UpstreamRefused, match="another key"):
        check_issued([leaf], request(), NOW)


def attributes(name: str) -> list[bytes]:
    """The elements of a CsrAttrs."""
    (whole,) = der.values(vector(name))
    return [item.raw for item in der.values(whole.content)]


def rules(key: str, digest: str) -> RequestRules:
    return RequestRules((key,), (digest,), frozenset({"common_name"}), frozenset(), ignores_challenge_password=False)


@pytest.mark.parametrize(
    ("name", "key", "digest"),
    [
        ("csrattrs/harkins01", "rsa-4096", "sha256"),
        ("csrattrs/harkins02", "ec-p384", "sha384"),
        ("csrattrs/harkins03", "ec-p521", "sha512"),
        ("rfc7030/section-4.5.2-csrattrs", "ec-p384", "sha384"),
    ],
)
def test_our_csrattrs_ask_for_a_key_and_a_hash_as_others_do(name: str, key: str, digest: str) -> None:
    (ours,) = der.values(est.csr_attributes(rules(key, digest)))
    assert {item.raw for item in der.values(ours.content)} <= set(attributes(name))


REQUESTS_BY_OTHERS = {
    "rsa_sha256": "",
    "challenge": "",
    "ec_sha256_old_header": "",
    "bad-version": "cannot be read",
    "challenge-invalid": "must be one string",
    "challenge-multi-valued": "stand once and have one value",
    "challenge-unstructured": "attribute other than",
    "dsa_sha1": "key's algorithm is not accepted",
    "freeipa-bad-critical": "attribute other than",
    "invalid_signature": "1024 bits",
    "long-form-attribute": "more than one byte",
    "rsa_md4": "is signed with an algorithm",
    "rsa_sha1": "is signed with an algorithm",
    "two_basic_constraints": "is signed with an algorithm",
    "zero-element-attribute": "stand once and have one value",
}


def test_every_request_by_others_is_tried() -> None:
    assert {path.stem for path in (FOLDER / "pyca").iterdir()} == set(REQUESTS_BY_OTHERS)


@pytest.mark.parametrize(("name", "why"), REQUESTS_BY_OTHERS.items())
def test_requests_by_others_are_read_or_refused(name: str, why: str) -> None:
    decoded = csr.decode_body((FOLDER / "pyca" / f"{name}.pem").read_bytes())
    if not why:
        assert csr.parse(decoded).der == decoded
        return
    with pytest.raises(Malformed, match=why):
        csr.parse(decoded)


def test_our_vectors_are_what_the_script_makes() -> None:
    assert {path.name: path.read_text() for path in make.FOLDER.iterdir()} == make.files()


@pytest.mark.parametrize(("name", "refusal"), json.loads((make.FOLDER / "refusals.json").read_text()).items())
def test_our_vectors_are_read_or_refused_with_this_text(name: str, refusal: str) -> None:
    decoded = csr.decode_body((make.FOLDER / f"{name}.b64").read_bytes())
    if not refusal:
        assert csr.parse(decoded).der == decoded
        return
    with pytest.raises(Malformed) as refused:
        csr.parse(decoded)
    assert refused.value.public == refusal
