"""The double itself: it must refuse what the real client refuses, or the tests with it would prove too little."""

import base64
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from sandbox import pki
from tests.interop.certd import Certd, CertdError, patiently, read, renewal

HIERARCHY = pki.issuing_hierarchy(datetime.now(UTC))
LEAF = pki.issue_leaf(HIERARCHY.ica, "device", ec.generate_private_key(ec.SECP256R1()).public_key(), datetime.now(UTC))
BAG = pkcs7.serialize_certificates([LEAF], Encoding.DER)
WRAPPED = base64.encodebytes(BAG)
MEDIA = "application/pkcs7-mime; smime-type=certs-only"


def answer(status: str, body: bytes, media: str = MEDIA) -> list[x509.Certificate]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
        theirs.sendall(head.encode() + body)
        return read(ours)


@pytest.mark.parametrize(
    "body",
    [
        WRAPPED,
        base64.b64encode(BAG),
        WRAPPED.replace(b"\n", b"\r\n"),
        pkcs7.serialize_certificates([LEAF], Encoding.PEM),
    ],
    ids=["wrapped", "one line", "CRLF", "PEM"],
)
def test_it_reads_base64_in_any_lines_and_pem(body: bytes) -> None:
    assert answer("200 OK", body) == [LEAF]


@pytest.mark.parametrize("status", ["201 Created", "202 Accepted", "204 No Content", "302 Found", "500 No"])
def test_it_takes_200_alone_and_shows_the_body_of_anything_else(status: str) -> None:
    with pytest.raises(CertdError, match=f"{status}: why"):
        answer(status, b"why\n")


@pytest.mark.parametrize("media", ["Application/pkcs7-mime", "application/pkcs7-mime ;x=y", "text/plain", ""])
def test_it_compares_the_content_type_byte_by_byte(media: str) -> None:
    with pytest.raises(CertdError, match="content type"):
        answer("200 OK", WRAPPED, media)


def test_it_refuses_raw_der_and_certificates_outside_pkcs7() -> None:
    with pytest.raises(CertdError):
        answer("200 OK", BAG)
    with pytest.raises(CertdError):
        answer("200 OK", base64.b64encode(LEAF.public_bytes(Encoding.DER)))


def test_it_takes_the_first_encoded_certificate_as_the_leaf() -> None:
    """cryptography sorts the SET: an answer with more than the leaf may make a CA certificate the identity."""
    both = [LEAF, HIERARCHY.root.certificate]
    bag = pkcs7.serialize_certificates(both, Encoding.DER)
    found = answer("200 OK", base64.b64encode(bag))
    assert found == sorted(both, key=lambda one: bag.index(one.public_bytes(Encoding.DER)))


def test_it_renews_at_80_percent_and_tries_every_4_percent() -> None:
    begin, period = renewal(LEAF)
    lifetime = LEAF.not_valid_after_utc - LEAF.not_valid_before_utc
    assert begin == LEAF.not_valid_before_utc + lifetime * 0.8
    assert period == lifetime * 0.04 > timedelta(seconds=1)


def test_its_caller_tries_twice() -> None:
    tries = []

    def ask() -> None:
        tries.append(1)
        raise CertdError("no")

    with pytest.raises(CertdError):
        patiently(ask, pause=0)
    assert len(tries) == 2


def test_it_only_warns_of_a_url_without_tls(tmp_path: Path) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=refuse)
    thread.start()
    client = Certd(f"http://127.0.0.1:{server.getsockname()[1]}/est", tmp_path / "none.pem", passcode="u:p")
    with server, pytest.raises(CertdError, match="404"):
        client.provision("device")
    thread.join()
    assert len(client.warnings) == 2
