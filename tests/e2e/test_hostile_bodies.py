"""Bodies that are no PKCS#10 request in base64, and the ones that look odd and are."""

import base64
import gzip
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7

from sandbox import device, pki
from sandbox.device import Identity
from tests.e2e import csr, der, wire
from tests.e2e.est import PKCS10, Site, encoded, leaf, path, refused

GOOD = csr.request()


def until(wanted: Callable[[bytes], bool]) -> bytes:
    """The base64 of a sound request that has some property; signatures differ from one to the next."""
    while not wanted(text := base64.b64encode(csr.request())):
        pass
    return text


def pem(label: str = "CERTIFICATE REQUEST", end: str = "", content: bytes = GOOD) -> bytes:
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label.encode(), encoded(content), (end or label).encode())


def a_certificate() -> bytes:
    authority = pki.factory_authority(datetime.now(UTC))
    return authority.certificate.public_bytes(Encoding.DER)


def a_pkcs7() -> bytes:
    return pkcs7.serialize_certificates([pki.factory_authority(datetime.now(UTC)).certificate], Encoding.DER)


PADDED = until(lambda text: text.endswith(b"="))
HIGH = until(lambda text: b"+" in text and b"/" in text)

MALFORMED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "white space only": (b" \r\n\t\n", "is empty"),
    "JSON": (b"{}", "not base64"),
    "exclamation marks": (b"!!!", "not base64"),
    "base64 with a NUL": (b"\0" + encoded(GOOD), "not base64"),
    "raw DER": (GOOD, "not base64"),
    "base64url": (HIGH.replace(b"+", b"-").replace(b"/", b"_"), "not base64"),
    "missing padding": (PADDED.rstrip(b"="), "not base64"),
    "too much padding": (PADDED + b"=", "not base64"),
    "padding in mid-stream": (b"TQ==TWFu", "not base64"),
    "two requests, one after the other": (PADDED + b"\n" + encoded(GOOD), "not base64"),
    "percent-encoded": (HIGH.replace(b"+", b"%2B"), "not base64"),
    "truncated in the signature": (encoded(GOOD[:-5]), "cannot be read"),
    "truncated in the middle": (encoded(GOOD[: len(GOOD) // 2]), "cannot be read"),
    "one byte": (encoded(b"0"), "cannot be read"),
    "trailing byte": (encoded(GOOD + b"\0"), "cannot be read"),
    "second request in the same DER": (encoded(GOOD + GOOD), "cannot be read"),
    "indefinite length": (encoded(b"\x30\x80" + GOOD[3:] + b"\0\0"), "cannot be read"),
    "length that is not minimal": (encoded(b"\x30\x82\0" + GOOD[2:]), "cannot be read"),
    "length of four gigabytes": (encoded(b"\x30\x84\xff\xff\xff\xff" + GOOD[3:]), "cannot be read"),
    "a certificate": (encoded(a_certificate()), "cannot be read"),
    "a certificate in PEM": (pem("CERTIFICATE", content=a_certificate()), "exactly one CERTIFICATE REQUEST"),
    "a PKCS#7": (encoded(a_pkcs7()), "cannot be read"),
    "a boolean": (encoded(der.TRUE), "cannot be read"),
    "two PEM blocks": (pem() + pem(), "exactly one CERTIFICATE REQUEST"),
    "a request after a certificate": (pem("CERTIFICATE") + pem(), "exactly one CERTIFICATE REQUEST"),
    "a key after the request": (pem() + pem("PRIVATE KEY"), "exactly one CERTIFICATE REQUEST"),
    "another PEM label": (pem("PKCS7"), "exactly one CERTIFICATE REQUEST"),
    "END cut off": (pem()[:-10], "exactly one CERTIFICATE REQUEST"),
    "END of another label": (pem(end="CERTIFICATE"), "exactly one CERTIFICATE REQUEST"),
    "NEW in one of the two lines": (pem(end="NEW CERTIFICATE REQUEST"), "exactly one CERTIFICATE REQUEST"),
    "PEM in UTF-16": (pem().decode().encode("utf-16"), "not base64"),
}

ACCEPTED: dict[str, bytes] = {
    "base64 in lines": encoded(GOOD),
    "base64 in one line": base64.b64encode(GOOD),
    "base64 in lines with CRLF, tabs and spaces": encoded(GOOD).replace(b"\n", b" \t\r\n"),
    "PEM": pem(),
    "PEM with NEW": pem("NEW CERTIFICATE REQUEST"),
    "PEM with CRLF after text": b"Subject: CN=hostile-device\r\n" + pem().replace(b"\n", b"\r\n"),
    # A byte order mark is text before the block, like any other.
    "PEM with a byte order mark": b"\xef\xbb\xbf" + pem(),
    "PEM all on one line": pem().replace(b"\n", b""),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_body_that_is_no_request_is_malformed(site: Site, hostile: Identity, case: str) -> None:
    body, words = MALFORMED[case]
    with site.nothing_issued():
        refused(site.enroll(hostile, body), 400, words)


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_body_of_another_dress_is_the_same_request(site: Site, hostile: Identity, case: str) -> None:
    """All of them carry one request, so all of them get one certificate."""
    certificate = leaf(site.enroll(hostile, ACCEPTED[case]))
    serials = {entry["serial"] for entry in site.issued(csr.ec_key()) if entry["status"] == "ISSUED"}
    assert f"{certificate.serial_number:032X}" in serials


def test_a_private_key_in_the_body_is_refused_and_not_logged(site: Site, hostile: Identity) -> None:
    key = device.new_key("ec-p256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with site.nothing_issued():
        refused(site.enroll(hostile, key), 400, "exactly one CERTIFICATE REQUEST")
        content = b"".join(key.splitlines()[1:-1])
        refused(site.enroll(hostile, content), 400, "cannot be read")
    logs = "".join(log.read_text() for log in (site.sandbox.state / "logs").iterdir())
    assert "CERTIFICATE REQUEST" in logs
    assert key.decode().splitlines()[1] not in logs


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, identity"])
def test_a_compressed_body_is_unsupported(site: Site, hostile: Identity, encoding: str) -> None:
    body = gzip.compress(encoded(GOOD)) if "gzip" in encoding else encoded(GOOD)
    with site.nothing_issued():
        refused(site.enroll(hostile, body, headers=(PKCS10, ("Content-Encoding", encoding))), 415, "Content-Encoding")


@pytest.mark.parametrize(
    "types",
    [
        (),
        ("text/plain",),
        ("application/x-www-form-urlencoded",),
        ("application/pkcs10x",),
        ("application/pkcs7-mime",),
        ("; charset=utf-8",),
    ],
    ids=str,
)
def test_another_media_type_is_unsupported(site: Site, hostile: Identity, types: tuple[str, ...]) -> None:
    headers = [("Content-Type", value) for value in types]
    with site.nothing_issued():
        refused(site.enroll(hostile, encoded(GOOD), headers=headers), 415, "application/pkcs10")


@pytest.mark.parametrize("second", ["application/pkcs10", "text/plain"])
def test_two_media_types_are_malformed(site: Site, hostile: Identity, second: str) -> None:
    """The host joins two headers of one name by a comma. The one of the sandbox does not let them that far."""
    with site.nothing_issued():
        joined = ("Content-Type", f"application/pkcs10,{second}")
        refused(site.enroll(hostile, encoded(GOOD), headers=[joined]), 400, "one Content-Type")
        two = site.enroll(hostile, encoded(GOOD), headers=(PKCS10, ("Content-Type", second)))
        assert two.status == 400


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("Content-Type", "APPLICATION/PKCS10; charset=x")], id="capitals and a parameter"),
        pytest.param([PKCS10, ("Content-Encoding", "identity")], id="no encoding"),
        pytest.param([PKCS10, ("Content-Transfer-Encoding", "binary")], id="transfer encoding binary"),
        pytest.param(
            [PKCS10, ("Content-Transfer-Encoding", "8bit"), ("Content-Transfer-Encoding", "base64")],
            id="two transfer encodings",
        ),
        pytest.param([PKCS10, ("Expect", "100-continue")], id="Expect"),
        pytest.param([PKCS10, ("Accept", "text/html")], id="an Accept that does not fit"),
    ],
)
def test_headers_that_do_not_matter(site: Site, hostile: Identity, headers: list[tuple[str, str]]) -> None:
    leaf(site.enroll(hostile, encoded(GOOD), headers=headers))


def test_the_body_has_a_limit_to_the_byte(site: Site, hostile: Identity) -> None:
    most = encoded(GOOD).ljust(65_536, b"\n")
    leaf(site.enroll(hostile, most))
    with site.nothing_issued():
        refused(site.enroll(hostile, most + b"\n"), 413, "65536 bytes")
        refused(site.enroll(hostile, most * 20), 413, "65536 bytes")


CHUNKED = (PKCS10, ("Transfer-Encoding", "chunked"))


def test_the_front_end_gives_a_chunked_body_its_length(site: Site, hostile: Identity) -> None:
    leaf(site.enroll(hostile, wire.chunked(encoded(GOOD)), headers=CHUNKED))


def test_a_chunked_body_has_the_same_limit(site: Site, hostile: Identity) -> None:
    with site.nothing_issued():
        body = wire.chunked(encoded(GOOD).ljust(65_537, b"\n"), 8000)
        refused(site.enroll(hostile, body, headers=CHUNKED), 413, "65536 bytes")


def test_a_chunked_body_that_never_arrives_is_refused_with_the_remedy(site: Site, hostile: Identity) -> None:
    """The Functions host drops such a body: behind a front end that does not buffer, and when reached directly."""
    site.sandbox.control("PUT", "/edge", {"buffer_chunked": False})
    with site.nothing_issued():
        refused(site.enroll(hostile, wire.chunked(encoded(GOOD)), headers=CHUNKED), 400, "with Content-Length instead")
        raw = wire.request("POST", path("simpleenroll"), wire.chunked(encoded(GOOD)), (*CHUNKED, site.passcode()))
        refused(wire.send(None, raw, port=wire.HOST), 400, "with Content-Length instead")


def test_half_a_body_is_no_request(site: Site, hostile: Identity) -> None:
    raw = wire.request("POST", path("simpleenroll"), encoded(GOOD), (PKCS10,))
    with site.nothing_issued(), wire.connected(site.tls(hostile)) as connection:
        connection.sendall(raw[:-100])
