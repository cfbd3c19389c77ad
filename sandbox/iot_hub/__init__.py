"""Stand-in for IoT Hub: the registry with twins, queries and methods, and the endpoint for devices.

Two hubs behind one port, told apart by the Host header. Service calls want an Entra token, devices a certificate:
over HTTPS for one request, or over MQTT to stay connected.
"""

from collections.abc import Callable
from typing import Final

from aiohttp import web

from sandbox.entra import IOT_HUB_AUDIENCE
from sandbox.iot_hub import connection, device, registry, twins
from sandbox.iot_hub.errors import Hubs, refusal
from sandbox.web import Handler, application, fault_kind
from sandbox.world import World

SERVICE: Final = "IoT Hub"


def app(world: World, hubs: Hubs, authorize: Callable[[web.Request, str], None]) -> web.Application:
    """`hubs` by host; `authorize(request, audience)` raises what Azure answers to a bad token."""

    def with_token(handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            authorize(request, IOT_HUB_AUDIENCE)
            return await handler(request)

        return checked

    def played(handler: Handler) -> Handler:
        """The one fault of its own: `throttle`, in IoT Hub's words (429001)."""

        async def faulty(request: web.Request) -> web.StreamResponse:
            match fault_kind(request):
                case "":
                    return await handler(request)
                case "throttle":
                    raise refusal(429, "ThrottlingException", "Throttled", {"Retry-After": "1"})
                case kind:
                    raise web.HTTPNotImplemented(text=f"the IoT Hub stand-in cannot play {kind}")

        return faulty

    service = [*registry.routes(world, hubs), *twins.routes(hubs)]
    for_services = [web.route(each.method, each.path, played(with_token(each.handler))) for each in service]
    devices = [*device.routes(world, hubs), *connection.routes(world, hubs)]
    for_devices = [web.route(each.method, each.path, played(each.handler)) for each in devices]
    result = application(SERVICE, world, [*for_services, *for_devices])

    async def end_connections(_: web.Application) -> None:
        for hub in hubs.values():
            for device_id in list(hub.links):
                hub.cut(device_id, "the hub goes down")

    result.on_shutdown.append(end_connections)
    return result
