"""A device: its own keys, its own TLS connections, and none of the product's code.

It speaks EST as the Azure client (`aziot-certd`) does: simpleenroll and cacerts at the same moment, base64 wrapped at
64 columns, lower-case header names, and nothing but a plain 200 is success. A renewal is another simpleenroll, with
the issued certificate as TLS client certificate.
"""

import base64
import json
import os
import ssl
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

DPS_API = "api-version=2021-06-01"
HUB_API = "api-version=2020-03-13"
TIMEOUT = 30

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class DeviceError(Exception):
    """What stopped the device, as one line for a person."""


@dataclass(frozen=True)
class Identity:
    """A key and the certificates that go out with it in TLS, leaf first."""

    key: Key = field(repr=False)
    chain: tuple[x509.Certificate, ...]

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def name(self) -> str:
        return common_name(self.leaf)

    def pem(self) -> bytes:
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        key = self.key.private_bytes(encoding, form, serialization.NoEncryption())
        return key + b"".join(certificate.public_bytes(encoding) for certificate in self.chain)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The object in the body; whatever else is there becomes its `message`."""
        try:
            content = json.loads(self.body or b"{}")
        except ValueError:
            content = self.line()
        return content if isinstance(content, dict) else {"message": str(content)}

    def line(self) -> str:
        return " ".join(self.body.decode("utf-8", "replace").split())[:300]


@dataclass(frozen=True)
class Registration:
    """How DPS answered at the end: `status` is DPS's own word, `reason` its explanation of a refusal."""

    status: str
    hub: str = ""
    device_id: str = ""
    reason: str = ""


def common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def tls_context(root: Path, identity: Identity | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(root))
    if identity is not None:
        # OpenSSL loads a client's key from a file only. mkstemp makes it readable by this user alone.
        descriptor, name = tempfile.mkstemp(prefix="device-", suffix=".pem")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(identity.pem())
            context.load_cert_chain(name)
        finally:
            Path(name).unlink()
    return context


def call(
    context: ssl.SSLContext, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Answer:
    """One request on a connection of its own, with only the headers that are given (no Accept, no User-Agent)."""
    parts = urlsplit(url)
    connection = HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=TIMEOUT)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body or method in {"POST", "PUT"}:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    except (OSError, HTTPException) as error:
        raise DeviceError(f"{method} {url}: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()


def new_key(kind: str = "rsa-2048") -> Key:
    if kind == "ec-p256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def request(name: str, key: Key) -> bytes:
    """A PKCS#10 request with a common name and no extension, as `aziot-identityd` makes it for a device."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def enroll(
    url: str, root: Path, name: str, key: Key, *, identity: Identity | None = None, passcode: str = ""
) -> Identity:
    """A certificate for `key` with the CA certificates after it. `passcode` is `user:password`."""
    headers = {"authorization": f"Basic {base64.b64encode(passcode.encode()).decode()}"} if passcode else {}
    wrapped = base64.b64encode(request(name, key)).decode()
    body = "".join(f"{wrapped[start : start + 64]}\n" for start in range(0, len(wrapped), 64)).encode()
    csr_headers = headers | {"content-type": "application/pkcs10", "content-transfer-encoding": "base64"}
    base = url if url.endswith("/") else f"{url}/"
    # Two connections at once, each with its own handshake; if either fails, the whole enrollment has failed.
    with ThreadPoolExecutor(max_workers=2) as pool:
        authorities = pool.submit(lambda: call(tls_context(root, identity), "GET", f"{base}cacerts", headers=headers))
        answer = call(tls_context(root, identity), "POST", f"{base}simpleenroll", headers=csr_headers, body=body)
        chain = certificates("simpleenroll", answer) + certificates("cacerts", authorities.result())
    enrolled = Identity(key, tuple(chain))
    if enrolled.leaf.public_key() != key.public_key():
        raise DeviceError("simpleenroll: the first certificate is not for the key of the request")
    return enrolled


def certificates(operation: str, answer: Answer) -> list[x509.Certificate]:
    """The certificates of an EST answer in their encoded order; as strict about status and type as `aziot-certd`."""
    if answer.status != 200:
        raise DeviceError(f"{operation}: {answer.status} {answer.line()}")
    kind = answer.headers.get("content-type", "")
    if kind != "application/pkcs7-mime" and not kind.startswith("application/pkcs7-mime;"):
        raise DeviceError(f"{operation}: the content type is {kind or 'missing'}")
    try:
        found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(b"".join(answer.body.split()), validate=True))
    except ValueError as error:
        raise DeviceError(f"{operation}: the body is no base64 PKCS#7: {error}") from error
    if not found:
        raise DeviceError(f"{operation}: the answer holds no certificate")
    return found


def register(host: str, scope: str, root: Path, identity: Identity) -> Registration:
    """PUT register, then poll the operation: azure/iot-dps, "Use X.509 certificates with the HTTPS API".

    DPS asks for three seconds between two polls (`Retry-After`); the stand-in does not mind being asked sooner. The
    pauses grow, so that a busy machine is not made busier.
    """
    context = tls_context(root, identity)
    base = f"https://{host}/{scope}/registrations/{identity.name}"
    json_headers = {"content-type": "application/json"}
    body = json.dumps({"registrationId": identity.name}).encode()
    answer = call(context, "PUT", f"{base}/register?{DPS_API}", headers=json_headers, body=body)
    end, pause = time.monotonic() + TIMEOUT, 0.1
    while answer.status in {200, 202} and answer.json().get("status") in {"assigning", "unassigned"}:
        if time.monotonic() > end:
            raise DeviceError(f"DPS was still assigning after {TIMEOUT} s")
        time.sleep(pause)
        pause = min(1.0, pause * 1.5)
        operation = answer.json()["operationId"]
        answer = call(context, "GET", f"{base}/operations/{operation}?{DPS_API}", headers=json_headers)
    return registration(answer)


def registration(answer: Answer) -> Registration:
    """What the last answer of DPS says: assigned, failed or disabled, or an error with its code."""
    content = answer.json()
    if answer.status not in {200, 202}:
        return Registration("refused", reason=f"{answer.status} {content.get('errorCode', '')} {message(content)}")
    state = content.get("registrationState", {})
    if content.get("status") == "assigned":
        return Registration("assigned", hub=str(state["assignedHub"]), device_id=str(state["deviceId"]))
    reason = f"{state.get('errorCode', '')} {state.get('errorMessage', '')}".strip()
    if content.get("status") == "disabled":
        return Registration("disabled", reason=reason)
    return Registration(str(content.get("status")), reason=reason or answer.line())


def connect(host: str, root: Path, identity: Identity, device_id: str = "") -> tuple[bool, str]:
    """One telemetry message over HTTPS (rest/api/iothub/device/send-device-event): let in or not, and the reason."""
    url = f"https://{host}/devices/{device_id or identity.name}/messages/events?{HUB_API}"
    body = json.dumps({"hello": identity.name}).encode()
    answer = call(tls_context(root, identity), "POST", url, headers={"content-type": "application/json"}, body=body)
    if answer.status in {200, 204}:
        return True, ""
    return False, f"{answer.status} {message(answer.json())}"


def message(content: Mapping[str, Any]) -> str:
    return str(content.get("message") or content.get("Message") or content)[:300]
