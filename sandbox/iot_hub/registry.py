"""The identity registry: https://learn.microsoft.com/rest/api/iothub/service/devices"""

import base64
import re
import secrets
from typing import Any

from aiohttp import web

from sandbox.iot_hub.errors import Hubs, check_match, device_of, hub_of, json_object, not_found, refusal, tagged
from sandbox.iot_hub.state import new_identity, self_signed
from sandbox.world import World

Json = dict[str, Any]

WRITABLE = {"status", "statusReason", "authentication", "capabilities", "deviceScope", "parentScopes"}
# What a client sends back when it puts what it got; it has no effect.
READ_ONLY = {
    "deviceId",
    "generationId",
    "etag",
    "connectionState",
    "connectionStateUpdatedTime",
    "statusUpdatedTime",
    "lastActivityTime",
    "cloudToDeviceMessageCount",
}
DEVICE_ID = re.compile(r"[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}")
THUMBPRINT = re.compile(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")


def routes(world: World, hubs: Hubs) -> list[web.RouteDef]:
    async def get_device(request: web.Request) -> web.Response:
        device = device_of(hub_of(hubs, request), request)
        return tagged(device.identity_json(), device.etag)

    async def put_device(request: web.Request) -> web.Response:
        """Without If-Match it creates and nothing else: an existing device is 409001. With it, it replaces."""
        hub = hub_of(hubs, request)
        device_id = request.match_info["id"]
        identity = read_identity(world, await json_object(request, WRITABLE | READ_ONLY), device_id)
        device = hub.devices.get(device_id)
        if "If-Match" not in request.headers:
            if device is not None:
                raise refusal(409, "DeviceAlreadyExists", device_id)  # 409001
            device = hub.create(device_id, identity)
        else:
            if device is None:
                raise not_found(device_id)
            check_match(request, device.etag)
            hub.replace(device, identity)
        return tagged(device.identity_json(), device.etag)

    async def delete_device(request: web.Request) -> web.Response:
        hub = hub_of(hubs, request)
        device = device_of(hub, request)
        if "If-Match" not in request.headers:
            raise refusal(400, "InvalidETag", "If-Match is required")
        check_match(request, device.etag)
        hub.delete(device)
        return web.Response(status=204)

    async def list_devices(request: web.Request) -> web.Response:
        hub = hub_of(hubs, request)
        top = page_size(request.query.get("top", "1000"))
        return web.json_response([hub.devices[name].identity_json() for name in sorted(hub.devices)[:top]])

    return [
        web.get("/devices", list_devices),
        web.get("/devices/{id}", get_device),
        web.put("/devices/{id}", put_device),
        web.delete("/devices/{id}", delete_device),
    ]


def page_size(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1000:
        raise refusal(400, "ArgumentInvalid", f"between 1 and 1000 devices can be asked for, not {text}")
    return int(text)


def read_identity(world: World, body: Json, device_id: str) -> Json:
    """A whole identity: what the body leaves out gets its default, not what was there before."""
    if body.get("deviceId") != device_id or not DEVICE_ID.fullmatch(device_id):
        raise refusal(400, "ArgumentInvalid", "deviceId is not the one of the path, or no device id")
    identity = new_identity({})
    identity |= {name: value for name, value in body.items() if name in WRITABLE and value is not None}
    if identity["status"] not in {"enabled", "disabled"}:
        raise refusal(400, "ArgumentInvalid", "status")
    if len(identity["statusReason"] or "") > 128:
        raise refusal(400, "ArgumentInvalid", "statusReason is longer than 128 characters")
    if identity["capabilities"].keys() != {"iotEdge"} or not isinstance(identity["capabilities"]["iotEdge"], bool):
        raise refusal(400, "ArgumentInvalid", "capabilities")
    identity["authentication"] = read_authentication(world, identity["authentication"])
    return identity


def read_authentication(world: World, given: Json) -> Json:
    if unknown := given.keys() - {"type", "symmetricKey", "x509Thumbprint"}:
        raise refusal(400, "ArgumentInvalid", f"unknown members: {sorted(unknown)}")
    match given.get("type", "sas"):
        case "selfSigned":
            return read_thumbprints(given.get("x509Thumbprint") or {})
        case "sas":
            keys = {"primaryKey": new_key(world), "secondaryKey": new_key(world)}
            keys |= {name: value for name, value in (given.get("symmetricKey") or {}).items() if value is not None}
            return self_signed(None, None) | {"type": "sas", "symmetricKey": keys}
        case "certificateAuthority" | "none" as kind:
            return self_signed(None, None) | {"type": kind}
        case other:
            raise refusal(400, "ArgumentInvalid", f"authentication type {other}")


def read_thumbprints(given: Json) -> Json:
    if unknown := given.keys() - {"primaryThumbprint", "secondaryThumbprint"}:
        raise refusal(400, "ArgumentInvalid", f"unknown members: {sorted(unknown)}")
    slots = [given.get("primaryThumbprint") or None, given.get("secondaryThumbprint") or None]
    # Whether the hub itself insists on one thumbprint is not documented; a device without any could never connect.
    if slots == [None, None] or not all(slot is None or THUMBPRINT.fullmatch(slot) for slot in slots):
        raise refusal(400, "ArgumentInvalid", "a thumbprint is 40 (SHA-1) or 64 (SHA-256) hexadecimal digits")
    return self_signed(*slots)


def new_key(world: World) -> str:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    world.secrets.append(key)
    return key
