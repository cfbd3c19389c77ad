"""How IoT Hub says no, and what every request to it has in common."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from sandbox.iot_hub.state import Device, Hub, wire_time

Json = dict[str, Any]
Hubs = Mapping[str, Hub]  # by host

# What azure-iot-hub 2.7.0 sends, and older stable versions of the same calls.
API_VERSIONS = {"2021-04-12", "2020-09-30", "2020-05-31-preview", "2020-03-13", "2019-10-01", "2018-06-30"}

KINDS: dict[int, type[web.HTTPException]] = {
    400: web.HTTPBadRequest,
    401: web.HTTPUnauthorized,
    403: web.HTTPForbidden,
    404: web.HTTPNotFound,
    409: web.HTTPConflict,
    412: web.HTTPPreconditionFailed,
    429: web.HTTPTooManyRequests,
    504: web.HTTPGatewayTimeout,
}


def refusal(status: int, name: str, text: str, headers: Mapping[str, str] | None = None) -> web.HTTPException:
    """https://learn.microsoft.com/rest/api/iothub/common-error-codes: the name travels in the text and in a header."""
    stamp = f"Tracking ID:{uuid.uuid4().hex}-TimeStamp:{wire_time(datetime.now(UTC))}"
    body = json.dumps({"Message": f"ErrorCode:{name};{text}", "ExceptionMessage": stamp})
    all_headers = {"iothub-errorcode": name, **(headers or {})}
    return KINDS[status](headers=all_headers, text=body, content_type="application/json")


def not_found(device_id: str) -> web.HTTPException:
    return refusal(404, "DeviceNotFound", device_id)  # 404001


def named_hub(hubs: Hubs, request: web.Request) -> Hub:
    """Both hubs live on one port; the Host header tells them apart."""
    if request.host not in hubs:
        raise web.HTTPNotImplemented(text=f"no hub of the sandbox is named {request.host}\n")
    return hubs[request.host]


def hub_of(hubs: Hubs, request: web.Request) -> Hub:
    hub = named_hub(hubs, request)
    if request.query.get("api-version") not in API_VERSIONS:
        raise refusal(400, "InvalidProtocolVersion", f"api-version:{request.query.get('api-version')}")
    return hub


def device_of(hub: Hub, request: web.Request) -> Device:
    device = hub.devices.get(request.match_info["id"])
    if device is None:
        raise not_found(request.match_info["id"])
    return device


async def json_object(request: web.Request, known: set[str]) -> Json:
    """The body: one JSON object with no member that is not `known`."""
    try:
        body = await request.json()
    except ValueError as error:
        raise refusal(400, "ArgumentInvalid", "the body is not JSON") from error
    if not isinstance(body, dict):
        raise refusal(400, "ArgumentInvalid", "the body is not a JSON object")
    if unknown := sorted(body.keys() - known):
        raise refusal(400, "ArgumentInvalid", f"unknown members: {', '.join(unknown)}")
    return body


def check_match(request: web.Request, etag: str) -> None:
    """RFC 9110 section 13.1.1, with strong tags in quotes; the SDK sends the star in quotes, too."""
    given = request.headers["If-Match"]
    if given in {"*", '"*"'}:
        return
    if len(given) < 2 or given[0] != '"' or given[-1] != '"':
        raise refusal(400, "InvalidETag", f"If-Match is not an entity tag in quotes: {given}")
    if given[1:-1] != etag:
        raise refusal(412, "PreconditionFailed", "the ETag does not match")  # 412001


def tagged(body: Json, etag: str) -> web.Response:
    return web.json_response(body, headers={"ETag": f'"{etag}"'})
