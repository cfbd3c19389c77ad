"""The sandbox's device is as strict and as bare on the wire as `aziot-certd`: what it accepts is worth something."""

import base64
import json
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

from sandbox import connect, device, pki, ports
from sandbox.device import Answer, DeviceError, Identity
from sandbox.world import Clock

NOW = Clock().now()
AUTHORITY = pki.factory_authority()
TYPE = "application/pkcs7-mime"


def identity(name: str = "dev-1") -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    return Identity(key, (pki.issue_leaf(AUTHORITY, name, key.public_key(), NOW),))


def pkcs7_body(*certificates: x509.Certificate) -> bytes:
    return base64.encodebytes(pkcs7.serialize_certificates(list(certificates), serialization.Encoding.DER))


class Server:
    """Answers each connection once, over TLS, and keeps what came: bytes as they were on the wire."""

    def __init__(self, folder: Path, answer: Callable[[bytes], tuple[str, bytes]]) -> None:
        root = pki.tls_root()
        certificate, key = pki.server_certificate(root)
        self.root = folder / "root.pem"
        self.root.write_text(pki.certificate_pem(root.certificate))
        both = folder / "server.pem"
        both.write_text(pki.certificate_pem(certificate) + pki.key_pem(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        self.listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}/.well-known/est"
        self.answer = answer
        self.requests: list[bytes] = []

    def serve(self, connections: int) -> threading.Thread:
        def work() -> None:
            for _ in range(connections):
                accepted, _ = self.listener.accept()
                with accepted, accepted.makefile("rb") as stream:
                    head = b"".join(iter(stream.readline, b"\r\n"))
                    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"length" in line), 0)
                    self.requests.append(head + b"\r\n" + stream.read(length))
                    status, body = self.answer(self.requests[-1])
                    reply = f"HTTP/1.1 {status}\r\nContent-Type: {TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
                    accepted.sendall(reply.encode() + body)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread


def issuing(request: bytes) -> tuple[str, bytes]:
    if request.startswith(b"GET"):
        return "200 OK", pkcs7_body(AUTHORITY.certificate)
    csr = x509.load_der_x509_csr(base64.b64decode(request.partition(b"\r\n\r\n")[2]))
    key = csr.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return "200 OK", pkcs7_body(pki.issue_leaf(AUTHORITY, "dev-1", key, NOW))


def test_an_enrollment_is_two_bare_requests_and_the_leaf_comes_first(tmp_path: Path) -> None:
    server = Server(tmp_path, issuing)
    with server.listener:
        thread = server.serve(2)
        enrolled = device.enroll(server.url, server.root, "dev-1", device.new_key("ec-p256"), passcode="user:pass")
        thread.join()
    post, get = sorted(server.requests, reverse=True)
    head, _, body = post.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /.well-known/est/simpleenroll HTTP/1.1"
    assert sorted(line.partition(":")[0] for line in lines[1:]) == [
        "Host",
        "authorization",
        "content-length",
        "content-transfer-encoding",
        "content-type",
    ]
    assert "authorization: Basic dXNlcjpwYXNz" in lines
    assert body.endswith(b"\n")
    assert {len(line) for line in body.splitlines()[:-1]} == {64}
    assert get.startswith(b"GET /.well-known/est/cacerts HTTP/1.1\r\n")
    assert b"authorization: Basic dXNlcjpwYXNz" in get
    assert [certificate.subject.rfc4514_string() for certificate in enrolled.chain] == [
        "CN=dev-1",
        AUTHORITY.certificate.subject.rfc4514_string(),
    ]


def test_a_certificate_for_another_key_is_no_success(tmp_path: Path) -> None:
    server = Server(tmp_path, lambda _: ("200 OK", pkcs7_body(identity().leaf)))
    with server.listener:
        server.serve(2)
        with pytest.raises(DeviceError, match="not for the key of the request"):
            device.enroll(server.url, server.root, "dev-1", device.new_key("ec-p256"))


@pytest.mark.parametrize("status", [201, 202, 204, 401, 503])
def test_nothing_but_200_is_success(status: int) -> None:
    answer = Answer(status, {"content-type": TYPE, "retry-after": "1"}, b"come back later\n")
    with pytest.raises(DeviceError, match=f"simpleenroll: {status} come back later"):
        device.certificates("simpleenroll", answer)


@pytest.mark.parametrize(
    ("content_type", "accepted"),
    [
        (TYPE, True),
        (f"{TYPE}; smime-type=certs-only", True),
        ("application/PKCS7-MIME", False),
        (f"{TYPE} ; smime-type=certs-only", False),
        ("", False),
    ],
)
def test_the_content_type_is_compared_as_certd_does(content_type: str, accepted: bool) -> None:
    leaf = identity().leaf
    answer = Answer(200, {"content-type": content_type}, pkcs7_body(leaf))
    if accepted:
        assert device.certificates("cacerts", answer) == [leaf]
    else:
        with pytest.raises(DeviceError, match="content type"):
            device.certificates("cacerts", answer)


def test_raw_der_is_refused() -> None:
    der = pkcs7.serialize_certificates([identity().leaf], serialization.Encoding.DER)
    with pytest.raises(DeviceError, match="no base64"):
        device.certificates("cacerts", Answer(200, {"content-type": TYPE}, der))


@pytest.mark.parametrize(
    ("status", "body", "said", "reason"),
    [
        (401, {"errorCode": 401002, "message": "CA certificate not found."}, "refused", "401002 CA certificate"),
        (200, {"status": "disabled", "registrationState": {}}, "disabled", ""),
        (
            200,
            {
                "status": "failed",
                "registrationState": {"errorCode": 400209, "errorMessage": "Custom allocation failed"},
            },
            "failed",
            "400209 Custom allocation failed",
        ),
    ],
)
def test_what_dps_refuses_is_told_with_its_reason(status: int, body: dict[str, object], said: str, reason: str) -> None:
    result = device.registration(Answer(status, {}, json.dumps(body).encode()))
    assert result.status == said
    assert result.hub == ""
    assert reason in result.reason


def test_connect_says_in_one_line_what_it_cannot_read(tmp_path: Path) -> None:
    good = identity()
    certificate, key = tmp_path / "dev.pem", tmp_path / "dev.key"
    certificate.write_text(pki.certificate_pem(good.leaf))
    key.write_text(pki.key_pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(DeviceError, match=r"dev\.key is not the key of the first certificate"):
        connect.load_identity(certificate, key)
    with pytest.raises(DeviceError, match="no certificate can be read"):
        connect.load_identity(key, key)
    with pytest.raises(DeviceError, match="no private key can be read"):
        connect.load_identity(certificate, tmp_path / "missing")


def test_connect_says_that_the_sandbox_is_not_running(tmp_path: Path) -> None:
    good = identity()
    (tmp_path / "dev.pem").write_text(pki.certificate_pem(good.leaf))
    (tmp_path / "dev.key").write_bytes(good.pem().partition(b"-----BEGIN CERTIFICATE")[0])
    paths = tmp_path / "dev.pem", tmp_path / "dev.key"
    with pytest.raises(DeviceError, match="the sandbox is not running here"):
        connect.main(*paths, directory=tmp_path)
    (tmp_path / "tls-root.pem").write_text(pki.certificate_pem(pki.tls_root().certificate))
    with socket.create_server(("127.0.0.1", 0)) as server:
        hub = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(DeviceError, match="the sandbox is not running"):
        connect.main(*paths, hub=hub, directory=tmp_path)
    with pytest.raises(DeviceError, match="no hub is named hub-c"):
        connect.main(*paths, hub="hub-c", directory=tmp_path)
    assert ports.HUBS.keys() == {"hub-a", "hub-b"}
