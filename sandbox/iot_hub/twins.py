"""Twins, queries over them, and direct methods.

https://learn.microsoft.com/rest/api/iothub/service/devices (twins, invoke method), .../query
"""

import json
from typing import Any

from aiohttp import web

from sandbox.iot_hub.errors import Hubs, check_match, device_of, hub_of, json_object, refusal, tagged
from sandbox.iot_hub.methods import invoke
from sandbox.iot_hub.query import QueryError, compile_query
from sandbox.iot_hub.registry import page_size

Json = dict[str, Any]

WRITABLE = {"tags", "properties"}
# What a client sends back when it writes the twin that it read; it has no effect.
READ_ONLY = {
    "deviceId",
    "etag",
    "deviceEtag",
    "status",
    "statusReason",
    "statusUpdateTime",
    "connectionState",
    "lastActivityTime",
    "cloudToDeviceMessageCount",
    "authenticationType",
    "x509Thumbprint",
    "version",
    "capabilities",
}
LIMITS = {"tags": 8 * 1024, "desired": 32 * 1024, "reported": 32 * 1024}
DEPTH = 10


def routes(hubs: Hubs) -> list[web.RouteDef]:
    async def get_twin(request: web.Request) -> web.Response:
        device = device_of(hub_of(hubs, request), request)
        return tagged(device.twin_json(), device.twin_etag)

    async def write_twin(request: web.Request) -> web.Response:
        """PATCH merges (null removes a member), PUT replaces tags and desired properties."""
        hub = hub_of(hubs, request)
        device = device_of(hub, request)
        tags, patch = await read_twin(request)
        desired = patch
        if "If-Match" in request.headers:
            check_match(request, device.twin_etag)
        if request.method == "PUT":
            tags, desired = merged({}, tags or {}), merged({}, desired or {})
        else:
            tags = None if tags is None else merged(device.tags, tags)
            desired = None if desired is None else merged(device.desired.content, desired)
        check_size("tags", tags)
        check_size("desired", desired)
        hub.write_twin(device, tags, desired, patch if request.method == "PATCH" else desired)
        return tagged(device.twin_json(), device.twin_etag)

    async def query(request: web.Request) -> web.Response:
        hub = hub_of(hubs, request)
        body = await json_object(request, {"query"})
        try:
            selects = compile_query(str(body.get("query", "")))
        except QueryError as error:
            raise refusal(400, "ArgumentInvalid", f"query: {error}") from error
        size = page_size(request.headers.get("x-ms-max-item-count", "100"))
        after = request.headers.get("x-ms-continuation", "")
        found = [name for name in sorted(hub.devices) if name > after and selects(hub.devices[name].twin_json())]
        headers = {"x-ms-item-type": "Twin"}
        if len(found) > size:
            headers["x-ms-continuation"] = found[size - 1]
        return web.json_response([hub.devices[name].twin_json() for name in found[:size]], headers=headers)

    return [
        web.get("/twins/{id}", get_twin),
        web.patch("/twins/{id}", write_twin),
        web.put("/twins/{id}", write_twin),
        web.post("/twins/{id}/methods", invoke(hubs)),
        web.post("/devices/query", query),
    ]


async def read_twin(request: web.Request) -> tuple[Json | None, Json | None]:
    """Tags and desired properties of the body, checked. A service cannot write what the device reports."""
    body = await json_object(request, WRITABLE | READ_ONLY)
    if body.get("deviceId", request.match_info["id"]) != request.match_info["id"]:
        raise refusal(400, "ArgumentInvalid", "deviceId is not the one of the path")
    tags, properties = body.get("tags"), body.get("properties") or {}
    if unknown := properties.keys() - {"desired"}:
        raise refusal(400, "ArgumentInvalid", f"not for a service to write: {sorted(unknown)}")
    desired = properties.get("desired")
    if isinstance(desired, dict):  # a reader may send back what the hub itself wrote there
        desired = {name: value for name, value in desired.items() if name not in {"$metadata", "$version"}}
    for part in (tags, desired):
        if part is not None:
            check_part(part, 1)
    return tags, desired


def check_part(part: object, depth: int) -> None:
    """https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-device-twins#tags-and-properties-format"""
    if not isinstance(part, dict):
        raise refusal(400, "ArgumentInvalid", "a twin's parts are JSON objects")
    if depth > DEPTH:
        raise refusal(400, "ArgumentInvalid", f"deeper than {DEPTH} levels")
    for name, value in part.items():
        if not 0 < len(name) <= 1024 or any(letter in ". $" or ord(letter) < 32 for letter in name):
            raise refusal(400, "ArgumentInvalid", f"not a key for a twin: {name!r}")
        if isinstance(value, dict):
            check_part(value, depth + 1)
        elif isinstance(value, str) and len(value.encode()) > 4096:
            raise refusal(400, "ArgumentInvalid", f"the text of {name} is longer than 4 KB")


def merged(old: Json, patch: Json) -> Json:
    """RFC 7396 (JSON merge patch), which is what the hub does with a PATCH."""
    result = dict(old)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            before = result.get(name)
            result[name] = merged(before if isinstance(before, dict) else {}, value)
        else:
            result[name] = value
    return result


def check_size(name: str, part: Json | None) -> None:
    if part is not None and len(json.dumps(part)) > LIMITS[name]:
        raise refusal(400, "ArgumentInvalid", f"{name} are larger than {LIMITS[name]} bytes")
