"""HTTP/1.1 as devices send it, and as no library would: forged, doubled, chunked; each on a connection of its own."""

import json
import re
import select
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final

from shared.adapters import tls

SECONDS: Final = 40.0
LONGEST: Final = 200
# What every refusal of the app ends with, and no front end's.
_REQUEST: Final = re.compile(r" \(request [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\)$")
_ANSWERED_EARLY: Final = (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError)

type Headers = Iterable[tuple[str, str]]


class Silent(Exception):
    """There was no HTTP answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`pairs` are the header lines in their order and their case."""

    status: int
    pairs: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The values of the header; empty where it is missing."""
        return ", ".join(value for each, value in self.pairs if each.lower() == name.lower())

    @property
    def line(self) -> str:
        """The body as one line."""
        return " ".join(self.body.decode("utf-8", "replace").split())

    @property
    def json(self) -> dict[str, Any]:
        """The object in the body; whatever else is there is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def by_app(self) -> bool:
        """Whether the app itself has refused."""
        return _REQUEST.search(self.line) is not None

    @property
    def said(self) -> str:
        """Status and words, without what is different each time."""
        return f"{self.status} {_REQUEST.sub('', self.line)[:LONGEST]}".strip()


@dataclass(frozen=True, slots=True)
class Address:
    """A server. `ca` is the file of a root to trust beside the system's, or empty."""

    name: str
    port: int
    ca: str = ""

    def __str__(self) -> str:
        return self.name if self.port == 443 else f"{self.name}:{self.port}"

    def context(self, identity: str = "") -> ssl.SSLContext:
        """With a client certificate where `identity` is PEM of a key and its certificates."""
        made = tls.client_context(identity) if identity else tls.context()
        if self.ca:
            made.load_verify_locations(self.ca)
        return made

    def other(self, host: str) -> "Address":
        """HOST or HOST:PORT, under the same trust."""
        return address(host, self.ca)


def address(host: str, ca: str = "") -> Address:
    """HOST, HOST:PORT or https://HOST[:PORT]. Raises ValueError."""
    name, _, port = host.removeprefix("https://").rstrip("/").partition(":")
    if not name or "/" in f"{name}{port}":
        raise ValueError(f"{host!r} is no HOST or HOST:PORT")
    return Address(name, int(port or 443), ca)


@dataclass(frozen=True, slots=True)
class Request:
    """`chunked`: without a length (RFC 9112 §7.1). `expect`: the body waits for 100 (RFC 9110 §10.1.1)."""

    method: str
    path: str
    body: bytes = b""
    headers: Headers = ()
    chunked: bool = False
    expect: bool = False


def send(server: Address, request: Request, identity: str = "") -> Answer:
    """Raises Silent."""
    try:
        context = server.context(identity)
        return _exchanged(HTTPSConnection(server.name, server.port, context=context, timeout=SECONDS), request)
    except (OSError, HTTPException) as error:
        raise Silent(_named(error)) from error


def send_plain(server: Address, request: Request, seconds: float) -> Answer:
    """Without TLS. Raises Silent."""
    try:
        return _exchanged(HTTPConnection(server.name, server.port, timeout=seconds), request)
    except (OSError, HTTPException) as error:
        raise Silent(_named(error)) from error


def _exchanged(connection: HTTPConnection, request: Request) -> Answer:
    try:
        connection.connect()
        _sent(connection, request)
        response = connection.getresponse()
        return Answer(response.status, tuple(response.getheaders()), response.read())
    finally:
        connection.close()


def _sent(connection: HTTPConnection, request: Request) -> None:
    """A server that refuses may close while the body is still on its way: its answer counts."""
    connection.putrequest(request.method, request.path, skip_accept_encoding=True)
    for name, value in request.headers:
        connection.putheader(name, value)
    if request.chunked:
        connection.putheader("Transfer-Encoding", "chunked")
    elif request.body or request.method not in {"GET", "HEAD"}:
        connection.putheader("Content-Length", str(len(request.body)))
    if request.expect:
        connection.putheader("Expect", "100-continue")
    connection.endheaders()
    if request.expect:
        select.select([connection.sock], [], [], 3)
    try:
        for part in _parts(request):
            connection.send(part)
    except _ANSWERED_EARLY:
        return


def _parts(request: Request, size: int = 4096) -> Sequence[bytes]:
    if not request.chunked:
        return [request.body] if request.body else []
    parts = [request.body[start : start + size] for start in range(0, len(request.body), size)]
    return [*(b"%x\r\n%s\r\n" % (len(part), part) for part in parts), b"0\r\n\r\n"]


def _named(error: Exception) -> str:
    """`ssl` puts a line of OpenSSL's own source into its texts."""
    return re.sub(r" \(_ssl\.c:\d+\)$", "", str(error)).strip() or type(error).__name__
