"""How every stand-in serves HTTP: strict (what it does not know is a loud 501), journaled, and harsh when a fault asks.

Stand-ins speak plain HTTP on an ephemeral loopback port. The TLS front (`front.mjs`) terminates TLS on the fixed
port, proves that the client holds the key of its certificate, and hands the certificates on in one header.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable

from aiohttp import web
from cryptography import x509

from sandbox.world import Fault, World

CLIENT_CHAIN = "x-sandbox-client-chain"
FAULT = web.RequestKey("fault", Fault)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(service: str, world: World, routes: list[web.RouteDef]) -> web.Application:
    """An application for one stand-in: `routes`, then a 501 that names what was asked for."""

    async def unknown(request: web.Request) -> web.Response:
        text = f"the {service} stand-in does not know {request.method} {request.path_qs}\n"
        world.journal.write(service, "unknown request", method=request.method, path=request.path_qs)
        return web.Response(status=501, text=text)

    @web.middleware
    async def journaled(request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = world.faults.take(service, request.method, request.path)
        facts = {"method": request.method, "path": request.path}
        if fault is not None:
            facts["fault"] = fault.kind
        try:
            response = await answer(request, handler, fault)
        except web.HTTPException as error:
            world.journal.write(service, "request", status=error.status, **facts)
            raise
        except ConnectionResetError:
            world.journal.write(service, "request", status=0, **facts)
            raise
        world.journal.write(service, "request", status=response.status, **facts)
        return response

    app = web.Application(middlewares=[journaled], client_max_size=16 * 1024 * 1024)
    app.add_routes(routes)
    app.router.add_route("*", "/{rest:.*}", unknown)
    return app


async def answer(request: web.Request, handler: Handler, fault: Fault | None) -> web.StreamResponse:
    """The handler's answer, made worse by the fault that was planned for this request."""
    if fault is None:
        return await handler(request)
    match fault.kind:
        case "delay":
            await asyncio.sleep(fault.seconds)
            return await handler(request)
        case "status":
            await request.read()
            return web.Response(status=fault.status, headers=fault.headers, body=fault.body.encode())
        case "drop":
            raise hung_up(request)
        case "lose_answer":
            await handler(request)
            raise hung_up(request)
        case _:
            request[FAULT] = fault
            return await handler(request)


def hung_up(request: web.Request) -> ConnectionResetError:
    """Close the connection with no answer; raise what comes back."""
    if request.transport is not None:
        request.transport.abort()
    return ConnectionResetError("a planned fault closed the connection")


def fault_kind(request: web.Request) -> str:
    """The kind of the planned fault that the stand-in itself has to play, or an empty string."""
    fault = request.get(FAULT)
    return fault.kind if fault is not None else ""


def client_chain(request: web.Request) -> list[x509.Certificate]:
    """The certificates that the client sent in TLS, leaf first; the front has proven possession of the leaf's key."""
    value = request.headers.get(CLIENT_CHAIN, "")
    return [x509.load_der_x509_certificate(base64.b64decode(part)) for part in value.split(",") if part]
