"""A double of aziot-certd and aziot-identityd (iot-identity-service 1.6.0), as strict and as crude as they are.

Everything that the real client does on the wire, it does; everything that the real client refuses, it refuses. Read
from `cert/aziot-certd/src/est.rs`, `cert/cert-renewal` and `identity/aziot-identityd` of the project's source.
"""

import base64
import os
import re
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

type Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class CertdError(Exception):
    """What certd logs: the status and the body of the answer, or what it could not read."""


@dataclass(frozen=True)
class Stored:
    """A certificate file and its key as certd stores them: element 0 counts as the leaf, whatever it is."""

    certificates: list[x509.Certificate]
    key: Key

    @property
    def leaf(self) -> x509.Certificate:
        return self.certificates[0]


@dataclass
class Certd:
    """`url` is the configured EST URL, `trusted` the file added to the trust store.

    `passcode` is `user:password`, sent unasked on both requests; `bootstrap` serves for an EST-ID certificate alone.
    """

    url: str
    trusted: Path
    passcode: str = ""
    bootstrap: Stored | None = None
    est_id: Stored | None = None
    device_id: Stored | None = None
    requests: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.passcode and self.bootstrap is None and self.est_id is None:
            raise CertdError("no authentication is configured: anonymous EST is impossible")

    def provision(self, registration_id: str) -> Stored:
        """First boot: with a bootstrap certificate an EST-ID comes first, so four requests; with a passcode two."""
        if self.bootstrap is not None and self.est_id is None:
            self.est_id = self._issue_est_id(registration_id, self.bootstrap)
        self.device_id = self._issue_device_id(registration_id, self.est_id)
        return self.device_id

    def renew_est_id(self, *, expired: bool = False) -> Stored:
        """The old EST-ID certificate's leaf alone is the client certificate; an expired one gives way to bootstrap."""
        assert self.est_id is not None
        if expired and self.bootstrap is None:
            raise CertdError("the EST-ID certificate has expired and there is no bootstrap certificate: fatal")
        client = self.bootstrap if expired and self.bootstrap else Stored([self.est_id.leaf], self.est_id.key)
        self.est_id = self._issue_est_id(common_name(self.est_id.leaf), client)
        return self.est_id

    def renew_device_id(self, accepted_by_dps: Callable[[Stored], bool]) -> Stored:
        """Under the id `device-id-temp`, with a new key; committed only when DPS has taken the new certificate."""
        assert self.device_id is not None
        new = self._issue_device_id(common_name(self.device_id.leaf), self.est_id)
        if not accepted_by_dps(new):
            raise CertdError("DPS does not take the new certificate: the old one stays")
        self.device_id = new
        return new

    def _issue_est_id(self, name: str, client: Stored) -> Stored:
        """The old key is deleted and a new one made (`ec-p256:rsa-4096:*`); only EKU clientAuth is asked for."""
        key = ec.generate_private_key(ec.SECP256R1())
        client_auth = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        request = builder(name).add_extension(client_auth, critical=False).sign(key, SHA256())
        return Stored(self._enroll(request, client), key)

    def _issue_device_id(self, name: str, client: Stored | None) -> Stored:
        """What identityd asks for: `rsa-2048:*`, the registration id as common name, no extension at all."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return Stored(self._enroll(builder(name).sign(key, SHA256()), client), key)

    def _enroll(self, request: x509.CertificateSigningRequest, client: Stored | None) -> list[x509.Certificate]:
        """simpleenroll and cacerts at the same moment, a handshake each; if either fails, both count for nothing."""
        base = self.url if self.url.endswith("/") else f"{self.url}/"
        body = base64.encodebytes(request.public_bytes(Encoding.DER)).decode()
        lines = re.sub(r"(.{64})", r"\1\n", body.replace("\n", "")).rstrip("\n") + "\n"
        headers = ["content-type: application/pkcs10", "content-transfer-encoding: base64"]
        results: dict[str, list[x509.Certificate] | Exception] = {}

        def do(operation: str, method: str, extra: list[str], content: str) -> None:
            try:
                results[operation] = self._call(base + operation, method, extra, content, client)
            except Exception as error:  # noqa: BLE001 - carried to the caller's thread
                results[operation] = error

        both: list[tuple[Any, ...]] = [
            ("simpleenroll", "POST", [*headers, f"content-length: {len(lines)}"], lines),
            ("cacerts", "GET", [], ""),
        ]
        threads = [threading.Thread(target=do, args=each) for each in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        chain: list[x509.Certificate] = []
        for operation in ("simpleenroll", "cacerts"):
            result = results[operation]
            if isinstance(result, Exception):
                raise result
            chain += result
        return chain

    def _call(
        self, url: str, method: str, headers: list[str], content: str, client: Stored | None
    ) -> list[x509.Certificate]:
        """One request on a connection of its own: no time-out, no redirect, no retry."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        if not secure:
            self.warnings.append(f"EST URL {url} is not https")
        if self.passcode:
            headers = [*headers, "authorization: Basic " + base64.b64encode(self.passcode.encode()).decode()]
        # hyper over HTTP/1.1 without ALPN: lower-case names, no Accept, no User-Agent, no Content-Disposition.
        head = "\r\n".join([f"{method} {parts.path} HTTP/1.1", *headers, f"host: {parts.netloc}", "", ""])
        self.requests.append(head)
        with connected(parts.hostname or "", parts.port or 443) as plain:
            if not secure:
                plain.sendall((head + content).encode())
                return read(plain)
            with tls(self.trusted, client).wrap_socket(plain, server_hostname=parts.hostname) as connection:
                connection.sendall((head + content).encode())
                return read(connection)


def patiently[T](ask: Callable[[], T], *, limit: float = 30.0, pause: float = 3.0) -> T:
    """identityd's patience with certd: 30 seconds for an answer, one retry after 3 seconds; then it gives up.

    A crash beyond that means a restart by systemd after 5 seconds.
    """
    for last in (False, True):
        began = time.monotonic()
        try:
            result = ask()
        except CertdError:
            if last:
                raise
            time.sleep(pause)
        else:
            if time.monotonic() - began > limit:
                raise CertdError(f"no answer within {limit} s")
            return result
    raise AssertionError


def renewal(leaf: x509.Certificate) -> tuple[datetime, timedelta]:
    """When renewal begins (80 % of the lifetime) and how often it is tried again (every 4 %, at least a second)."""
    begin, lifetime = leaf.not_valid_before_utc, leaf.not_valid_after_utc - leaf.not_valid_before_utc
    return begin + lifetime * 0.8, max(lifetime * 0.04, timedelta(seconds=1))


def connected(host: str, port: int) -> socket.socket:
    """Straight, or through the proxy of HTTPS_PROXY or https_proxy: certd asks no other variable."""
    proxy = urlsplit(os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or "")
    if not proxy.hostname:
        return socket.create_connection((host, port))
    plain = socket.create_connection((proxy.hostname, proxy.port or 80))
    plain.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode())
    if b" 200 " not in plain.recv(4096):
        raise CertdError("the proxy refuses")
    return plain


def builder(name: str) -> x509.CertificateSigningRequestBuilder:
    """certd cuts the common name to 64 characters."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    return x509.CertificateSigningRequestBuilder().subject_name(subject)


def tls(trusted: Path, client: Stored | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(trusted)  # added to the system's store, not instead of it
    if client is not None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(client.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            file.write(b"".join(one.public_bytes(Encoding.PEM) for one in client.certificates))
            file.flush()
            context.load_cert_chain(file.name)
    return context


def read(connection: socket.socket) -> list[x509.Certificate]:
    """Status exactly 200, the content type compared with case, PEM or base64 of a PKCS#7 in encoded order."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536) or fail("the connection was closed")
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536) or fail("the connection was closed")
    if not status.startswith("HTTP/1.1 200 "):
        raise CertdError(f"{status.split(' ', 1)[1]}: {body.decode().strip()}")
    content_type = headers.get("content-type", "")
    if content_type != "application/pkcs7-mime" and not content_type.startswith("application/pkcs7-mime;"):
        raise CertdError(f"content type {content_type!r}")
    if body.startswith(b"-----BEGIN PKCS7"):
        return pkcs7.load_pem_pkcs7_certificates(body)
    try:
        return in_encoded_order(base64.b64decode(b"".join(body.split()), validate=True))
    except ValueError as error:
        raise CertdError(f"the body is no PKCS#7: {error}") from error


def in_encoded_order(der: bytes) -> list[x509.Certificate]:
    certificates = pkcs7.load_der_pkcs7_certificates(der)
    if not certificates:
        raise CertdError("the PKCS#7 holds no certificate")
    return sorted(certificates, key=lambda one: der.index(one.public_bytes(Encoding.DER)))


def fail(text: str) -> bytes:
    raise CertdError(text)


def common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
