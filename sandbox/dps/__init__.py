"""Stand-in for the Device Provisioning Service: the service API and the global device endpoint on one port.

Their paths differ: `/enrollments`, `/enrollmentGroups` and `/registrations/{id}` for services with an Entra token,
`/{idScope}/registrations/...` for devices with a certificate.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.dps import bulk, device, service
from sandbox.dps.allocation import Allocator
from sandbox.dps.document import read_entry
from sandbox.dps.errors import refusal
from sandbox.dps.state import DpsState
from sandbox.entra import DPS_AUDIENCE
from sandbox.web import Handler, application, fault_kind
from sandbox.world import World

SERVICE: Final = "DPS"


def app(
    world: World, state: DpsState, authorize: Callable[[web.Request, str], None], trust: ssl.SSLContext
) -> web.Application:
    """`authorize(request, audience)` raises what Azure answers to a bad token; `trust` is for calls of the webhook."""

    def with_token(handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            authorize(request, DPS_AUDIENCE)
            return await handler(request)

        return checked

    def played(handler: Handler) -> Handler:
        """The one fault of its own: `throttle`, in the words of DPS."""

        async def faulty(request: web.Request) -> web.StreamResponse:
            match fault_kind(request):
                case "":
                    return await handler(request)
                case "throttle":
                    raise refusal(429001, "Throttled", {"Retry-After": "1"})
                case kind:
                    raise web.HTTPNotImplemented(text=f"the DPS stand-in cannot play {kind}")

        return faulty

    async def unfinished(_: web.Application) -> AsyncIterator[None]:
        """Registrations on their way end with the sandbox."""
        yield
        await state.diagnostics.stop()
        for operation in state.operations.values():
            operation.task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await operation.task

    for_services = [*bulk.routes(state), *service.routes(state)]
    for_devices = device.routes(state, Allocator(state, trust))
    routes = [web.route(each.method, each.path, played(with_token(each.handler))) for each in for_services]
    routes += [web.route(each.method, each.path, played(each.handler)) for each in for_devices]
    result = application(SERVICE, world, routes)
    result.cleanup_ctx.append(unfinished)
    return result


def add_group(state: DpsState, group_id: str, signing: x509.Certificate, webhook_url: str) -> None:
    """The group of issued certificates, as deployment makes it: allocation by the app's webhook."""
    pem = signing.public_bytes(Encoding.PEM).decode()
    body = {
        "enrollmentGroupId": group_id,
        "attestation": {"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": pem}}}},
        "provisioningStatus": "enabled",
        "allocationPolicy": "custom",
        "customAllocationDefinition": {"webhookUrl": webhook_url, "apiVersion": "2021-10-01"},
    }
    service.store(state, "group", read_entry(state, "group", group_id, body, None))
