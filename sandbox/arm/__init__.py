"""Stand-in for Azure Resource Manager: what a deployment sets up in DPS, and what it has to look up for that.

https://learn.microsoft.com/rest/api/iot-dps and https://learn.microsoft.com/azure/azure-resource-manager/management
"""

from collections.abc import Callable
from typing import Final

from aiohttp import web

from sandbox.arm import certificates, provisioning, resources
from sandbox.arm.errors import problem
from sandbox.arm.state import ArmState
from sandbox.entra import MANAGEMENT_AUDIENCE
from sandbox.web import Handler, application, fault_kind
from sandbox.world import World

SERVICE: Final = "Resource Manager"


def app(world: World, state: ArmState, authorize: Callable[[web.Request, str], None]) -> web.Application:
    """`authorize(request, audience)` raises what Azure answers to a bad token."""

    def guarded(handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            authorize(request, MANAGEMENT_AUDIENCE)
            state.settle()
            match fault_kind(request):
                case "":
                    return await handler(request)
                case "throttle":
                    # https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
                    raise problem(429, "TooManyRequests", "The request was throttled.", {"Retry-After": "1"})
                case "forbidden":
                    text = "The client does not have authorization to perform this action."
                    raise problem(403, "AuthorizationFailed", text)
                case kind:
                    raise web.HTTPNotImplemented(text=f"the Resource Manager stand-in cannot play {kind}")

        return checked

    routes = [*provisioning.routes(state), *certificates.routes(state), *resources.routes(state)]
    return application(SERVICE, world, [web.route(each.method, each.path, guarded(each.handler)) for each in routes])
