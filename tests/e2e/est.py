"""A device's side of the wire, and the books of DigiCert ONE: what the end-to-end tests speak with and look at."""

import base64
import hashlib
import json
import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs7

from sandbox import device, mint, pki
from sandbox.device import Identity, Key
from tests.conftest import Running
from tests.e2e import wire
from tests.e2e.wire import Answer

type Headers = Iterable[tuple[str, str]]

PKCS10: Final = ("Content-Type", "application/pkcs10")
BASE: Final = "/.well-known/est"

_LINE: Final = re.compile(r"[^\r\n]+ \(request [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\)\n")
_INSIDE: Final = re.compile(r"Traceback|File \"|\.py\b|Error\(|Exception|site-packages|cryptography")
# Which refusal must carry which header, and no other may.
_EXTRA: Final = {
    "Allow": {405},
    "WWW-Authenticate": {401},
    "Retry-After": {429, 503, 504},
}


@dataclass
class Site:
    """The running sandbox as one who holds devices sees it. `seen` is the last journal entry that was looked at."""

    sandbox: Running
    seen: int = 0
    contexts: dict[int, tuple[Identity | None, ssl.SSLContext]] = field(default_factory=dict)

    @cached_property
    def factory(self) -> pki.Authority:
        return mint.factory_of(self.sandbox.state)

    def identity(self, name: str, key: Key | None = None) -> Identity:
        """A device with its factory certificate."""
        key = key or device.new_key("ec-p256")
        return Identity(key, (pki.issue_leaf(self.factory, name, key.public_key(), datetime.now(UTC)),))

    def tls(self, identity: Identity | None = None) -> ssl.SSLContext:
        kept = self.contexts.get(id(identity))
        if kept is None or kept[0] is not identity:
            kept = (identity, device.tls_context(self.sandbox.tls_root, identity))
            self.contexts[id(identity)] = kept
        return kept[1]

    def call(
        self, method: str, path: str, body: bytes = b"", headers: Headers = (), identity: Identity | None = None
    ) -> Answer:
        return wire.send(self.tls(identity), wire.request(method, path, body, headers))

    def enroll(
        self,
        identity: Identity | None,
        body: bytes,
        label: str = "",
        headers: Headers = (PKCS10,),
        operation: str = "simpleenroll",
    ) -> Answer:
        return self.call("POST", path(operation, label), body, headers, identity)

    def newborn(self, name: str, label: str = "") -> "Newborn":
        """A device that is about to ask for its first certificate, with a key that nobody has seen yet."""
        key = device.new_key("ec-p256")
        return Newborn(self, label, key, self.identity(name), ordinary(name, key))

    def passcode(self, text: str = "") -> tuple[str, str]:
        return "Authorization", "Basic " + base64.b64encode((text or self.sandbox.passcode).encode()).decode()

    def secret(self, name: str) -> str:
        """A credential that was made at start, by the name it begins with."""
        secrets: list[str] = self.sandbox.control("GET", "/secrets")
        return next(secret for secret in secrets if secret.startswith(f"{name}-"))

    def journal(self) -> list[dict[str, Any]]:
        """What the stand-ins have seen and done since the last look."""
        entries = self.sandbox.journal(self.seen)
        if entries:
            self.seen = entries[-1]["n"]
        return entries

    @contextmanager
    def nothing_issued(self) -> Iterator[None]:
        """DigiCert ONE is not even asked for a certificate meanwhile."""
        self.journal()
        yield
        asked = [entry for entry in self.journal() if entry["service"] == "DigiCert ONE" and is_order(entry)]
        assert not asked, asked

    def issued(self, key: Key | None = None, name: str = "") -> list[dict[str, Any]]:
        """The certificates on DigiCert ONE's books, for one public key or one common name."""
        answer = device.call(self.tls(), "GET", "https://localhost:9443/sandbox/issued")
        wanted = spki_sha256(key) if key is not None else ""
        entries: list[dict[str, Any]] = json.loads(answer.body)
        return [
            entry for entry in entries if wanted in ("", entry["spki_sha256"]) and name in ("", entry["common_name"])
        ]


@dataclass(frozen=True)
class Newborn:
    """A device that asks, and asks again: always the same request."""

    site: Site
    label: str
    key: Key
    factory: Identity
    body: bytes

    def ask(self) -> Answer:
        return self.site.enroll(self.factory, self.body, self.label)

    def on_the_books(self) -> list[str]:
        """The serial numbers of good certificates for this device and its key at DigiCert ONE."""
        return [
            entry["serial"] for entry in self.site.issued(self.key, self.factory.name) if entry["status"] == "ISSUED"
        ]

    def has(self, answer: Answer) -> x509.Certificate:
        """The certificate of the answer: for this key, and the only one that was ever issued for it."""
        certificate = leaf(answer)
        assert certificate.public_key() == self.key.public_key()
        assert self.on_the_books() == [f"{certificate.serial_number:032X}"]
        return certificate


def is_order(entry: dict[str, Any]) -> bool:
    ordered = entry.get("method") in {"POST", "PUT"} and entry["event"] == "request"
    return bool(ordered or entry["event"] == "issued")


def path(operation: str, label: str = "") -> str:
    return f"{BASE}/{label}/{operation}" if label else f"{BASE}/{operation}"


def spki_sha256(key: Key) -> str:
    return hashlib.sha256(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def encoded(der: bytes) -> bytes:
    """Base64 in lines of 64 with LF, as in RFC 7030."""
    text = base64.b64encode(der)
    return b"".join(text[start : start + 64] + b"\n" for start in range(0, len(text), 64))


def ordinary(name: str, key: Key) -> bytes:
    """The body of an ordinary enrollment request."""
    return encoded(device.request(name, key))


def leaf(answer: Answer) -> x509.Certificate:
    """The one certificate of a success, which has every header that clients look at."""
    assert answer.status == 200, answer.text
    assert answer.header("Content-Type") == "application/pkcs7-mime; smime-type=certs-only"
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("Content-Length") == str(len(answer.body))
    (certificate,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(b"".join(answer.body.split()), validate=True))
    return certificate


def refused(answer: Answer, status: int, words: str = "", *, head: bool = False) -> None:
    """An error as every error must be: one line for a person, whole, uncached, with nothing from our inside."""
    assert answer.status == status, f"{answer.status} instead of {status}: {answer.text}"
    assert answer.header("Content-Type") == "text/plain; charset=utf-8"
    assert answer.header("Cache-Control") == "no-store"
    for name, statuses in _EXTRA.items():
        assert (len(answer.values(name)) == 1) == (status in statuses), (name, answer.pairs)
    if status in _EXTRA["Retry-After"]:
        assert 1 <= int(answer.header("Retry-After")) <= 86_400
    if status == 401:
        assert answer.header("WWW-Authenticate") == 'Basic realm="est", charset="UTF-8"'
    assert not answer.values("Transfer-Encoding"), "libest and strongSwan cannot read it"
    if head:
        assert int(answer.header("Content-Length")) > 0
        return
    assert answer.header("Content-Length") == str(len(answer.body))
    assert len(answer.body) <= 300
    assert _LINE.fullmatch(answer.text), answer.text
    assert not _INSIDE.search(answer.text), answer.text
    assert words in answer.text, answer.text


def eventually[T](look: Callable[[], T], seconds: float = 15.0) -> T:
    """The first truthy answer; the last one when the time is over."""
    end = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < end:
        time.sleep(0.1)
    return found
