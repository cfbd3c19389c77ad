"""EST on the wire: which path is which operation, methods, media types, and the encodings of answers."""

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import given
from hypothesis import strategies as st

from shared.core import est
from shared.core.errors import MethodNotAllowed, NotFound, NotOffered, Unsupported
from shared.core.est import Operation, Route
from tests.core.making import Authority

ROOT = "/.well-known/est"


@pytest.mark.parametrize("operation", Operation)
def test_every_operation_is_found_with_and_without_a_label(operation: Operation) -> None:
    assert est.route(f"{ROOT}/{operation.value}") == Route(operation, "")
    assert est.route(f"{ROOT}/factory-1.a_B/{operation.value}") == Route(operation, "factory-1.a_B")


def test_a_label_may_be_a_uuid_or_64_characters_long() -> None:
    for label in ("0b3c6f0e-1d1b-4c39-9d0c-7a1f0f6d2f11", "x" * 64):
        assert est.route(f"{ROOT}/{label}/cacerts").label == label


HOSTILE_LABELS = [
    *(
        "..",
        ".",
        "%2e%2e",
        "a%2Fb",
        "a/b",
        "a%00b",
        "a\x00b",
        "a%0d%0ab",
        "a\r\nb",
        "a\n",
        "%ff",
        "%zz",
        "a;x=1",
        "a\\b",
    ),
    *("-a", "_a", "a b", "a+b", "a:b", "é", "\uff41", "x" * 65, "x" * 9000, "\u202ea", "a?b", "a#b", ""),
    *("cacerts", "simpleenroll", "csrattrs", "serverkeygen", "fullcmc", "crls", "tamp", "requestvoucher"),
    *("healthcheck", "metrics"),
]


@pytest.mark.parametrize("label", HOSTILE_LABELS, ids=ascii)
def test_no_such_label_can_exist(label: str) -> None:
    assert not est.is_label(label)
    with pytest.raises(NotFound):
        est.route(f"{ROOT}/{label}/simpleenroll")


@pytest.mark.parametrize(
    "path",
    [
        *(f"{ROOT}/%73impleenroll", f"{ROOT}/SIMPLEENROLL", f"{ROOT}/simpleenroll/", f"{ROOT}//simpleenroll"),
        *(f"{ROOT}/a/b/simpleenroll", f"{ROOT}/a//simpleenroll", f"{ROOT}/../est/simpleenroll", f"{ROOT}/", ROOT, ""),
        *(f"{ROOT}/simpleenroll;a=1", f"{ROOT}/simpleenroll#f", f"{ROOT}/simpleenroll%20", f"{ROOT}/simpleenroll\n"),
        *(
            f"/x/y{ROOT}/simpleenroll",
            f"x{ROOT}/simpleenroll",
            f"{ROOT}x{ROOT}/simpleenroll",
            "/.WELL-KNOWN/est/simpleenroll",
            "//.well-known/est/simpleenroll",
            "simpleenroll",
        ),
        *(f"https://host{ROOT}/simpleenroll", f"{ROOT}/unknown", f"{ROOT}/label", f"{ROOT}\\simpleenroll"),
    ],
    ids=ascii,
)
def test_no_such_path_exists_and_none_is_mended(path: str) -> None:
    with pytest.raises(NotFound):
        est.route(path)


def test_strongswan_may_put_the_label_before_the_path_it_appends() -> None:
    for path in (f"/sensors{ROOT}/cacerts", f"{ROOT}/sensors{ROOT}/cacerts"):
        assert est.route(path) == Route(Operation.CACERTS, "sensors")


@pytest.mark.parametrize(
    "path",
    [
        *(f"/a{ROOT}/b/cacerts", f"{ROOT}/a{ROOT}/b/cacerts", f"{ROOT}{ROOT}/cacerts", f"/{ROOT}/cacerts"),
        *(f"/cacerts{ROOT}/cacerts", f"/a{ROOT}/a{ROOT}/cacerts", f"{ROOT}/a/b{ROOT}/cacerts", f"/..{ROOT}/cacerts"),
        *(f"/a/{ROOT}/cacerts", f"{ROOT}/a/{ROOT}/cacerts", f"/%61{ROOT}/cacerts"),
    ],
)
def test_a_label_before_the_path_is_one_label_alone(path: str) -> None:
    with pytest.raises(NotFound):
        est.route(path)


@given(st.text())
def test_any_path_is_a_route_or_not_found(path: str) -> None:
    for candidate in (f"{ROOT}/{path}", f"{ROOT}/{path}/cacerts"):
        try:
            found = est.route(candidate)
        except NotFound:
            continue
        assert candidate == "/".join(filter(None, (ROOT, found.label, found.operation.value)))


@pytest.mark.parametrize("operation", [Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "post", ""])
def test_enrolling_takes_post_alone(operation: Operation, method: str) -> None:
    est.check_method(operation, "POST")
    with pytest.raises(MethodNotAllowed) as refused:
        est.check_method(operation, method)
    assert refused.value.allow == ("POST",)


@pytest.mark.parametrize("operation", [Operation.CACERTS, Operation.CSRATTRS])
def test_asking_takes_get_and_head(operation: Operation) -> None:
    est.check_method(operation, "GET")
    est.check_method(operation, "HEAD")
    with pytest.raises(MethodNotAllowed) as refused:
        est.check_method(operation, "POST")
    assert refused.value.allow == ("GET", "HEAD")


@pytest.mark.parametrize("operation", [Operation.SERVERKEYGEN, Operation.FULLCMC])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_what_is_switched_off_is_not_offered_by_any_method(operation: Operation, method: str) -> None:
    with pytest.raises(NotOffered, match=operation.value):
        est.check_method(operation, method)


@pytest.mark.parametrize(
    "content_type",
    ["application/pkcs10", "APPLICATION/PKCS10; charset=x", " application/pkcs10 ", "application/pkcs10;smime-type=x"],
)
def test_pkcs10_is_read_in_any_case_and_with_parameters(content_type: str) -> None:
    est.check_media(content_type, "")
    est.check_media(content_type, "Identity")


@pytest.mark.parametrize(
    "content_type",
    [
        *("", "text/plain", "application/x-www-form-urlencoded", "application/pkcs7-mime", "application/pkcs10x"),
        *("application/octet-stream", "application/pkcs10, text/plain", ";application/pkcs10"),
    ],
)
def test_other_media_types_are_unsupported(content_type: str) -> None:
    with pytest.raises(Unsupported, match=r"application/pkcs10"):
        est.check_media(content_type, "")


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "x"])
def test_a_compressed_body_is_unsupported(encoding: str) -> None:
    with pytest.raises(Unsupported, match="Content-Encoding"):
        est.check_media("application/pkcs10", encoding)


@given(st.binary(max_size=500), st.booleans())
def test_what_is_encoded_decodes_to_the_same(content: bytes, lines: bool) -> None:
    encoded = est.encode(content, lines=lines)
    assert base64.b64decode(encoded) == content
    if lines:
        assert all(len(line) <= 64 for line in encoded.split(b"\n"))
        assert encoded.endswith(b"\n") or not content
        assert b"\r" not in encoded
    else:
        assert b"\n" not in encoded


CA = Authority()


def test_a_certs_only_answer_holds_the_certificates_and_nothing_else() -> None:
    leaf = CA.issue()
    answer = est.certs_only([leaf])
    assert pkcs7.load_der_pkcs7_certificates(answer) == [leaf]
    both = est.certs_only([leaf, CA.certificate])
    assert set(pkcs7.load_der_pkcs7_certificates(both)) == {leaf, CA.certificate}
    # No digest algorithms, no content, no CRLs, no signers.
    assert answer.count(bytes.fromhex("3100300b06092a864886f70d010701a0")) == 1
    assert answer.endswith(b"\x31\x00")


def test_openssl_reads_the_lines_that_devices_get(tmp_path: Path) -> None:
    leaf = CA.issue()
    (tmp_path / "answer.b64").write_bytes(est.encode(est.certs_only([leaf]), lines=True))
    decoded = subprocess.run(
        ["openssl", "base64", "-d", "-in", tmp_path / "answer.b64"], check=True, capture_output=True
    )
    read = ["openssl", "pkcs7", "-inform", "DER", "-print_certs"]
    printed = subprocess.run(read, input=decoded.stdout, check=True, capture_output=True)
    assert leaf.public_bytes(Encoding.PEM) in printed.stdout
