"""A target behind the front that tells what it saw, and some that answer oddly."""

from typing import Any

from aiohttp import web


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


def values(answer: dict[str, Any], name: str) -> list[str]:
    return [value for given, value in answer["headers"] if given.lower() == name.lower()]
