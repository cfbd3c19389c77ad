"""A front end of our own before the sandbox's function host, which does one thing wrong.

The TLS server before it is the sandbox's: it takes every certificate, removes nothing, and says what it was shown.
What App Service does besides is done here, right or wrong, so that the app behind it answers in its own words.
"""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import ClientSession, web
from yarl import URL

from sandbox import pki, ports
from sandbox.front import Listener
from sandbox.web import CLIENT_CHAIN
from tests.conftest import Running
from tests.e2e.est import Site
from tests.sandbox.support import fronting, new_tls, serving

OWN: Final = ("x-arr-", "x-waws-", "x-front-end-secret", CLIENT_CHAIN.lower())
HOP_BY_HOP: Final = {"connection", "transfer-encoding", "content-length", "expect", "keep-alive"}
HEADER: Final = "X-ARR-ClientCert"
AUTOMATIC: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


@dataclass(frozen=True)
class Front:
    """`defect` is one of the words below, or empty for a front that does all as it should."""

    secret: str
    key: str
    defect: str = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{rest:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        refused = self.instead(request, body)
        if refused is not None:
            return refused
        chunked = "Transfer-Encoding" in request.headers
        if self.defect == "loses bodies" or (self.defect == "loses chunks" and chunked):
            body = b""
        url = URL(f"http://{ports.LOOPBACK}:{ports.FUNCTION_HOST}{request.raw_path}", encoded=True)
        async with (
            ClientSession(auto_decompress=False, skip_auto_headers=AUTOMATIC) as session,
            session.request(
                request.method, url, headers=self.headers(request), data=body, allow_redirects=False
            ) as answer,
        ):
            return await self.answered(request, answer.status, dict(answer.headers), await answer.read())

    def instead(self, request: web.Request, body: bytes) -> web.Response | None:
        """What the front end answers itself."""
        match self.defect:
            case "redirects" if request.path.endswith("/"):
                return web.Response(status=307, headers={"Location": f"http://{request.host}{request.path[:-1]}"})
            case "renegotiates" if len(body) > 100 * 1024 and CLIENT_CHAIN in request.headers:
                return web.Response(status=403, text="<html>")
            case "knows its clients" if CLIENT_CHAIN in request.headers:
                return web.Response(status=400, text="no required certificate was sent")
            case "takes no HEAD" if request.method == "HEAD":
                return web.Response(status=405)
            case "answers itself" if request.method not in {"GET", "POST"}:
                return web.Response(status=404)
            case _:
                return None

    def headers(self, request: web.Request) -> list[tuple[str, str]]:
        kept = [
            (name, value)
            for name, value in request.headers.items()
            if name.lower() not in HOP_BY_HOP and not name.lower().startswith(OWN)
        ]
        kept += [("X-Front-End-Secret", self.secret), ("X-Forwarded-Proto", "https")]
        if self.defect != "decodes paths":
            kept.append(("X-WAWS-Unencoded-URL", request.raw_path))
        if self.defect == "opens doors":
            kept.append(("x-functions-key", self.key))
        return kept + self.certificate(request)

    def certificate(self, request: web.Request) -> list[tuple[str, str]]:
        shown, forged = request.headers.get(CLIENT_CHAIN, "").partition(",")[0], request.headers.get(HEADER, "")
        match self.defect:
            case "asks for none":
                shown = ""
            case "believes the client" if forged and not shown:
                shown = forged
            case "adds its own" if forged and shown:
                shown = f"{forged},{shown}"
            case "garbles" if shown:
                shown = shown[::-1]
            case _:
                pass
        return [(HEADER, shown)] if shown else []

    async def answered(
        self, request: web.Request, status: int, headers: Mapping[str, str], body: bytes
    ) -> web.StreamResponse:
        kept = {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
        if self.defect == "spells in lower case":
            kept = {name.lower(): value for name, value in kept.items()}
        if self.defect == "knows no hub" and request.path.startswith("/api/devices/") and request.method == "GET":
            body = json.dumps(json.loads(body) | {"hub": None}).encode()
        if self.defect == "in chunks":
            answer = web.StreamResponse(status=status, headers=kept)
            answer.enable_chunked_encoding()
            await answer.prepare(request)
            await answer.write(body)
            return answer
        if request.method == "HEAD":
            kept["Content-Length"] = headers["Content-Length"]
        return web.Response(status=status, headers=kept, body=body)


@contextmanager
def spoiled(sandbox: Running, folder: Path, defect: str = "") -> Iterator[tuple[str, Path]]:
    """HOST:PORT of such a front, and the roots that clients of it and of the sandbox have to trust."""
    site, tls, roots = Site(sandbox), new_tls(), folder / "roots.pem"
    roots.write_text(pki.certificate_pem(tls.root.certificate) + sandbox.tls_root.read_text())
    front = Front(site.secret("front-end-secret"), site.secret("function-key"), defect)
    loop, end, started = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    found: list[int] = []

    async def stand() -> None:
        async with serving(front.app()) as port, fronting(tls, Listener(0, port)) as listening:
            found.append(listening.ports[0])
            started.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(stand(),))
    thread.start()
    try:
        assert started.wait(20), "the front did not start"
        yield f"127.0.0.1:{found[0]}", roots
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(20)
        loop.close()
