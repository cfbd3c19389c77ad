"""The hub as a device sees it, over HTTPS with a client certificate.

https://learn.microsoft.com/rest/api/iothub/device: send a device event, receive a device-bound notification.
"""

from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sandbox.iot_hub.errors import Hubs, hub_of, refusal
from sandbox.iot_hub.state import Device, Hub, wire_time
from sandbox.web import client_chain
from sandbox.world import World

MESSAGE_LIMIT: Final = 256 * 1024


def routes(world: World, hubs: Hubs) -> list[web.RouteDef]:
    def connected(request: web.Request) -> Device:
        hub = hub_of(hubs, request)
        device_id = request.match_info["id"]
        chain = client_chain(request)
        thumbprint = chain[0].fingerprint(hashes.SHA256()).hex() if chain else None
        facts = {"hub": hub.name, "device": device_id, "thumbprint": thumbprint}
        reason, status = why_not(world, hub, device_id, chain)
        if reason:
            world.journal.write("IoT Hub", "device refused", reason=reason, **facts)
            # One answer for all: a stranger learns nothing. 401002; that a disabled device gets a 403 of its own
            # over HTTPS is an assumption, the pages speak of "not authorized" only.
            raise refusal(status, "IotHubUnauthorizedAccess", "Unauthorized")
        world.journal.write("IoT Hub", "device accepted", **facts)
        device = hub.devices[device_id]
        device.last_activity = wire_time(world.clock.now())
        return device

    async def send_event(request: web.Request) -> web.Response:
        device = connected(request)
        size = len(await request.read())
        if size > MESSAGE_LIMIT:
            raise refusal(400, "MessageTooLarge", "a message holds 256 KB")
        world.journal.write("IoT Hub", "telemetry", device=device.device_id, size=size)
        return web.Response(status=204)

    async def device_bound(request: web.Request) -> web.Response:
        """There is never a message: nobody in the sandbox sends one."""
        connected(request)
        return web.Response(status=204)

    return [
        web.post("/devices/{id}/messages/events", send_event),
        web.get("/devices/{id}/messages/deviceBound", device_bound),
    ]


def why_not(world: World, hub: Hub, device_id: str, chain: list[x509.Certificate]) -> tuple[str, int]:
    """The reason to refuse and its status. The hub checks thumbprint and expiry; neither the chain nor any CRL."""
    device = hub.devices.get(device_id)
    if not chain:
        return "no client certificate", 401
    if device is None:
        return "unknown device", 401
    authentication = device.identity["authentication"]
    if authentication["type"] != "selfSigned":
        return f"the identity authenticates by {authentication['type']}, not by thumbprint", 401
    leaf = chain[0]
    if not world_knows(authentication["x509Thumbprint"], leaf):
        return "the certificate's thumbprint is in neither slot", 401
    if not leaf.not_valid_before_utc <= world.clock.now() <= leaf.not_valid_after_utc:
        return "the certificate is outside its validity", 401
    if device.identity["status"] != "enabled":
        return "the identity is disabled", 403
    return "", 0


def world_knows(slots: dict[str, str | None], leaf: x509.Certificate) -> bool:
    own = {leaf.fingerprint(hashes.SHA1()).hex(), leaf.fingerprint(hashes.SHA256()).hex()}  # noqa: S303
    return any(slot is not None and slot.lower() in own for slot in slots.values())
