"""A small HTTPS client for load: prepared requests over connections that are kept, or made anew for each request."""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT = 30.0


@dataclass(frozen=True)
class Job:
    """One request as raw bytes; a new connection uses `tls`."""

    tls: ssl.SSLContext
    raw: bytes


@dataclass(frozen=True)
class Done:
    """How long the answer took, handshake included where the connection was new, and what was answered."""

    job: Job
    seconds: float
    status: int
    body: bytes


@dataclass(frozen=True)
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def exchange(self, raw: bytes) -> tuple[int, bytes]:
        self.writer.write(raw)
        head = await self.reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))  # a 204 has none
        return int(status.split()[1]), body

    def end(self) -> None:
        self.writer.transport.abort()


async def connect(url: str, tls: ssl.SSLContext) -> Connection:
    parts = urlsplit(url)
    # One address: a name with two would be tried on both, and the stand-ins listen on one.
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", parts.port, ssl=tls, server_hostname=parts.hostname, limit=2**18
    )
    return Connection(reader, writer)


async def run(
    url: str, jobs: Iterable[Job], concurrency: int, *, keep: bool, seconds: float
) -> tuple[list[Done], float]:
    """The jobs by `concurrency` workers, as many as begin within `seconds`; and how long it all took."""
    waiting, done = deque(jobs), list[Done]()
    kept = [await connect(url, waiting[0].tls) for _ in range(concurrency)] if keep else [None] * concurrency
    began = time.perf_counter()

    async def work(connection: Connection | None) -> None:
        while waiting and time.perf_counter() - began < seconds:
            job = waiting.popleft()
            start = time.perf_counter()
            used = connection or await connect(url, job.tls)
            try:
                status, body = await used.exchange(job.raw)
                done.append(Done(job, time.perf_counter() - start, status, body))
            finally:
                if used is not connection:
                    used.end()

    try:
        async with asyncio.timeout(seconds + TIMEOUT), asyncio.TaskGroup() as group:
            for connection in kept:
                group.create_task(work(connection))
        return done, time.perf_counter() - began
    finally:
        for connection in filter(None, kept):
            connection.end()


def request(method: str, url: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    fields = {"Host": parts.netloc, **headers, "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body
