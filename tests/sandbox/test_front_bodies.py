"""The TLS front: bodies, empty answers, header names, and targets that hang up."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from sandbox.front import Listener
from tests.sandbox.echo import target, values
from tests.sandbox.support import call, client_context, exchange, fronting, new_tls, serving


def test_the_edge_buffers_chunked_bodies_until_told_otherwise() -> None:
    async def scenario() -> None:
        tls = new_tls()
        async with serving(target()) as port, fronting(tls, Listener(0, port, "edge")) as front:

            async def chunked() -> dict[str, Any]:
                request = b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                raw = await exchange(tls, front.ports[0], request + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
                seen: dict[str, Any] = json.loads(raw.partition(b"\r\n\r\n")[2])
                assert seen["body"] == "abcde"
                return seen

            seen = await chunked()
            assert values(seen, "Content-Length") == ["5"]
            assert values(seen, "Transfer-Encoding") == []
            await front.set(edge_buffer_chunked=False)
            seen = await chunked()
            assert values(seen, "Content-Length") == []
            assert values(seen, "Transfer-Encoding") == ["chunked"]

    asyncio.run(scenario())


def test_answers_keep_their_headers_and_their_emptiness() -> None:
    async def scenario() -> None:
        tls = new_tls()
        async with serving(target()) as port, fronting(tls, Listener(0, port, "edge")) as front:
            end = b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            raw = await exchange(tls, front.ports[0], b"GET /odd-headers" + end)
            head = raw.partition(b"\r\n\r\n")[0]
            assert (
                b"X-lower-UPPER: 1\r\nContent-Transfer-Encoding: base64\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n" in head
            )
            assert b"Content-Length: 3" in head
            head, _, body = (await exchange(tls, front.ports[0], b"HEAD /odd-headers" + end)).partition(b"\r\n\r\n")
            assert b"Content-Length: 3" in head
            assert body == b""
            raw = await exchange(tls, front.ports[0], b"GET /no-content" + end)
            assert raw.startswith(b"HTTP/1.1 204 No Content\r\n")
            assert b"ransfer-" not in raw
            assert raw.endswith(b"\r\n\r\n")

    asyncio.run(scenario())


def test_expect_continue_is_answered_and_request_smuggling_is_not() -> None:
    async def scenario() -> None:
        tls = new_tls()
        async with serving(target()) as port, fronting(tls, Listener(0, port, "edge")) as front:
            head = (
                b"POST /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
            )
            raw = await exchange(tls, front.ports[0], head, b"abc")
            assert raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
            large = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 104857601\r\n\r\n"
            assert (await exchange(tls, front.ports[0], large)).startswith(b"HTTP/1.1 413 ")
            both = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            assert (await exchange(tls, front.ports[0], both)).startswith(b"HTTP/1.1 400 ")

    asyncio.run(scenario())


def test_a_target_that_hangs_up_is_a_502_at_the_edge_and_a_dead_peer_elsewhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        tls = new_tls()
        async with serving(target()) as port, fronting(tls, Listener(0, port), Listener(0, port, "edge")) as front:
            context = client_context(tls, None, tmp_path)
            assert (await call("GET", f"https://localhost:{front.ports[1]}/hang-up", context)).status == 502
            request = b"GET /hang-up HTTP/1.1\r\nHost: h\r\n\r\n"
            with contextlib.suppress(ConnectionError):  # the same, seen by a faster client
                assert await exchange(tls, front.ports[0], request) == b""

    asyncio.run(scenario())


def test_error_bodies_of_the_edge_are_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        tls = new_tls()
        log = tmp_path / "edge-errors.jsonl"
        async with serving(target()) as port, fronting(tls, Listener(0, port, "edge"), edge_errors=log) as front:
            url, context = f"https://localhost:{front.ports[0]}", client_context(tls, None, tmp_path)
            await call("GET", f"{url}/fine", context)
            assert (await call("GET", f"{url}/teapot?q=1", context)).body == "no coffee"
        entry = json.loads(log.read_text())
        assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/teapot", 418)  # the query may hold a key
        assert entry["body"] == "no coffee"

    asyncio.run(scenario())
