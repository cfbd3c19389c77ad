"""HTTP byte for byte over TLS: requests that no HTTP library would send, and answers as they came."""

import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

EDGE = 8443
HOST = 7071  # the function host itself, behind the edge: plain HTTP
SECONDS = 40


@dataclass(frozen=True)
class Answer:
    """`pairs` are the header lines as they came, in their order and their case."""

    status: int
    reason: str
    pairs: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.pairs)

    def values(self, name: str) -> list[str]:
        return [value for each, value in self.pairs if each.lower() == name.lower()]

    def header(self, name: str) -> str:
        """The value of a header that stands at most once; empty when it is missing."""
        found = self.values(name)
        assert len(found) <= 1, f"{name} stands {len(found)} times: {found}"
        return found[0] if found else ""

    @property
    def text(self) -> str:
        return self.body.decode()


def context(root: Path, client: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(root))
    if client is not None:
        made.load_cert_chain(*map(str, client))
    return made


def send(tls: ssl.SSLContext | None, *raw: bytes, port: int = EDGE) -> Answer:
    """One request as raw bytes on a connection of its own; without `tls` as plain HTTP.

    A peer that has answered may close while we are still sending: its answer counts.
    """
    with connected(tls, port) as connection:
        try:
            for part in raw:
                connection.sendall(part)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            pass
        return read(connection, head=raw[0].startswith(b"HEAD "))


def connected(tls: ssl.SSLContext | None, port: int = EDGE) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    if tls is None:
        return plain
    try:
        return tls.wrap_socket(plain, server_hostname="127.0.0.1")
    except BaseException:
        plain.close()
        raise


def read(connection: socket.socket, *, head: bool = False) -> Answer:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection, received)
    top, _, body = received.partition(b"\r\n\r\n")
    first, *lines = top.decode("latin-1").split("\r\n")
    _, status, reason = first.split(" ", 2)
    pairs = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
    answer = Answer(int(status), reason, pairs, b"")
    if answer.status == 100:
        return read(connection, head=head)
    length = 0 if head else int(answer.header("Content-Length") or "0")
    while len(body) < length:
        body += _more(connection, body)
    if not answer.values("Transfer-Encoding"):  # only the front end itself answers so, and its words do not matter
        assert len(body) == length, "there is more than Content-Length says"
    return Answer(answer.status, reason, pairs, body)


def _more(connection: socket.socket, received: bytes) -> bytes:
    chunk = connection.recv(65536)
    if not chunk:
        raise ConnectionError(f"closed after {received!r}")
    return chunk


def request(method: str, target: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """A request as it stands on the wire. Host and Content-Length are added where they are not given."""
    lines = list(headers)
    given = {name.lower() for name, _ in lines}
    if "host" not in given:
        lines.insert(0, ("Host", "127.0.0.1:8443"))
    if (body or method != "GET") and not given & {"content-length", "transfer-encoding"}:
        lines.append(("Content-Length", str(len(body))))
    text = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return f"{method} {target} HTTP/1.1\r\n{text}\r\n".encode("latin-1") + body


def chunked(body: bytes, size: int = 400) -> bytes:
    """The body in chunks (RFC 9112 section 7.1)."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
