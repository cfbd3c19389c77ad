"""The TLS front, seen from a client's side: what reaches the target, what comes back, and when it hangs up."""

import asyncio
import base64
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import pki
from sandbox.front import Listener
from tests.sandbox.support import Device, Tls, call, client_context, fronting, new_device, new_tls, serving

NOW = datetime.now(UTC)


async def echo(request: web.Request) -> web.Response:
    """What the target saw."""
    headers = [[name.decode(), value.decode()] for name, value in request.raw_headers]
    body = (await request.read()).decode()
    return web.json_response({"method": request.method, "path": request.raw_path, "headers": headers, "body": body})


async def no_content(_: web.Request) -> web.Response:
    return web.Response(status=204)


async def odd_headers(_: web.Request) -> web.Response:
    headers = [
        ("X-lower-UPPER", "1"),
        ("Content-Transfer-Encoding", "base64"),
        ("Set-Cookie", "a"),
        ("Set-Cookie", "b"),
    ]
    return web.Response(headers=headers, body=b"abc")


async def teapot(_: web.Request) -> web.Response:
    return web.Response(status=418, text="no coffee")


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def target() -> web.Application:
    app = web.Application(client_max_size=1 << 20)
    app.router.add_get("/no-content", no_content)
    app.router.add_get("/odd-headers", odd_headers)
    app.router.add_get("/teapot", teapot)
    app.router.add_get("/hang-up", hang_up)
    app.router.add_route("*", "/{rest:.*}", echo)
    return app


def devices() -> dict[str, Device]:
    hierarchy = pki.issuing_hierarchy(NOW)
    ica = hierarchy.ica.certificate
    loner = pki.self_signed("loner", ec.SECP256R1(), NOW, timedelta(days=1))
    long_ago = NOW - timedelta(days=400)
    return {
        "from an unknown CA": new_device(pki.factory_authority(), "d"),
        "self-signed": Device(loner.key, (loner.certificate,)),
        "expired": new_device(pki.factory_authority(long_ago), "d", now=long_ago),
        "with its issuing CA": new_device(hierarchy.ica, "d", ica),
        "with its whole chain": new_device(hierarchy.ica, "d", ica, hierarchy.root.certificate),
    }


def values(answer: dict[str, list[list[str]]], name: str) -> list[str]:
    return [value for given, value in answer["headers"] if given.lower() == name.lower()]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_every_client_certificate_reaches_the_target(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async def scenario() -> None:
        tls = new_tls()
        async with (
            serving(target()) as port,
            fronting(tls, Listener(0, port), Listener(0, port, "edge")) as front,
        ):
            standin, edge = front.ports
            for name, device in devices().items():
                context = client_context(tls, device, tmp_path)
                context.minimum_version = context.maximum_version = version
                ders = [base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in device.chain]
                seen = (await call("GET", f"https://localhost:{standin}/x", context)).body
                assert values(seen, "x-sandbox-client-chain") == [",".join(ders)], name
                seen = (await call("GET", f"https://localhost:{edge}/x", context)).body
                assert values(seen, "x-arr-clientcert") == [ders[0]], name
                assert values(seen, "x-sandbox-client-chain") == []

    asyncio.run(scenario())


def test_nobody_writes_the_headers_of_the_front_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        tls = new_tls()
        forged = [
            ("X-ARR-ClientCert", "forged"),
            ("x-arr-clientcert", "forged again"),
            ("X-Front-End-Secret", "guess"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "evil"),
            ("X-WAWS-Unencoded-URL", "/other"),
            ("X-Sandbox-Client-Chain", "forged"),
            ("X-Other", "kept"),
        ]
        async with serving(target()) as port, fronting(tls, Listener(0, port, "edge"), Listener(0, port)) as front:
            edge, standin = front.ports
            without = client_context(tls, None, tmp_path)
            seen = (await call("GET", f"https://localhost:{edge}/a%20b?c=d", without, headers=forged)).body
            assert values(seen, "X-ARR-ClientCert") == []
            assert values(seen, "X-Sandbox-Client-Chain") == []
            assert values(seen, "X-Forwarded-Host") == []
            assert values(seen, "X-Front-End-Secret") == ["front-secret"]
            assert values(seen, "X-Forwarded-Proto") == ["https"]
            assert values(seen, "X-WAWS-Unencoded-URL") == ["/a%20b?c=d"]
            assert values(seen, "X-Other") == ["kept"]
            assert values(seen, "Host") == [f"localhost:{edge}"]
            assert values(seen, "X-Forwarded-For")[0].startswith("127.0.0.1:")
            seen = (await call("GET", f"https://127.0.0.1:{standin}/x", without, headers=forged)).body
            assert values(seen, "X-Sandbox-Client-Chain") == []
            assert values(seen, "X-Front-End-Secret") == ["guess"]
            assert values(seen, "Host") == [f"127.0.0.1:{standin}"]

    asyncio.run(scenario())


def test_the_edge_buffers_chunked_bodies_until_told_otherwise() -> None:
    async def scenario() -> None:
        tls = new_tls()
        async with serving(target()) as port, fronting(tls, Listener(0, port, "edge")) as front:

            async def chunked() -> dict[str, list[list[str]]]:
                request = b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                raw = await exchange(tls, front.ports[0], request + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
                seen: dict[str, list[list[str]]] = json.loads(raw.partition(b"\r\n\r\n")[2])
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


async def exchange(tls: Tls, port: int, *parts: bytes) -> bytes:
    """Send `parts` as they are, waiting for some answer between them; everything that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls.trust(), server_hostname="localhost")
    received = b""
    for number, part in enumerate(parts):
        if number:
            received += await reader.read(65536)
        writer.write(part)
    received += await reader.read()
    writer.close()
    return received


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
            try:
                assert await exchange(tls, front.ports[0], request) == b""
            except ConnectionError:
                pass  # the same, seen by a faster client

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
        assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/teapot?q=1", 418)
        assert entry["body"] == "no coffee"

    asyncio.run(scenario())


def test_no_session_is_resumed_and_the_front_ends_with_its_parent(tmp_path: Path) -> None:
    async def scenario() -> None:
        tls = new_tls()
        async with serving(target()) as port, fronting(tls, Listener(0, port)) as front:
            context = client_context(tls, None, tmp_path)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            first = await asyncio.to_thread(handshake, context, front.ports[0], None)
            second = await asyncio.to_thread(handshake, context, front.ports[0], first.session)
            assert not second.session_reused
            assert front.process.stdin is not None
            front.process.stdin.close()
            assert await asyncio.wait_for(front.process.wait(), 5) == 0

    asyncio.run(scenario())


def handshake(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None) -> ssl.SSLObject:
    """A handshake in memory, so that the session of an earlier one can be offered."""
    import socket

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost", session=session)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while True:
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65536))
            else:
                return client


def test_a_taken_port_is_named() -> None:
    async def scenario() -> None:
        tls = new_tls()
        async with serving(target()) as port:
            with pytest.raises(RuntimeError, match="EADDRINUSE"):
                async with fronting(tls, Listener(port, port)):
                    pass

    asyncio.run(scenario())
