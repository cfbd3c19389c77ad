"""HTTP byte for byte over TLS: requests that no HTTP library would send, and answers as they came."""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Answer:
    """`names` are the header names as they came, in their order; `headers` are found in lower case."""

    status: int
    names: tuple[str, ...]
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def context(root: Path, client: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(root))
    if client is not None:
        made.load_cert_chain(*map(str, client))
    return made


def send(tls: ssl.SSLContext, raw: bytes, *, port: int = 8443) -> Answer:
    """One request as raw bytes on a connection of its own; the answer is read until it is whole."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=40) as plain,
        tls.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(raw)
        head = raw.startswith(b"HEAD ")
        return read(connection, head=head)


def read(connection: socket.socket, *, head: bool = False) -> Answer:
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionError(f"closed after {received!r}")
        received += chunk
    top, _, body = received.partition(b"\r\n\r\n")
    status, *lines = top.decode("latin-1").split("\r\n")
    pairs = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    headers = {name.lower(): value for name, value in pairs}
    length = 0 if head else int(headers.get("content-length", "0"))
    while len(body) < length:
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionError("closed in the body")
        body += chunk
    return Answer(int(status.split()[1]), tuple(name for name, _ in pairs), headers, body)


def request(method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    """An ordinary request; header names are given with underscores, and an empty value leaves a header out."""
    fields = {"Host": "127.0.0.1:8443", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if method == "POST" and "Transfer-Encoding" not in fields:
        fields.setdefault("Content-Length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body
