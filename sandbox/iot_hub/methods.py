"""Direct methods: a service calls, a connected device answers.

https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-direct-methods
"""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from sandbox.iot_hub.errors import Hubs, device_of, hub_of, json_object, refusal
from sandbox.iot_hub.link import METHODS, Link
from sandbox.iot_hub.state import Device, Hub, wire_time

Json = dict[str, Any]

FIELDS: Final = {"methodName", "payload", "responseTimeoutInSeconds", "connectTimeoutInSeconds"}
PAYLOAD_LIMIT: Final = 128 * 1024
LOOK_AGAIN: Final = 0.05


def invoke(hubs: Hubs) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def invoke_method(request: web.Request) -> web.Response:
        hub = hub_of(hubs, request)
        device = device_of(hub, request)
        body = await json_object(request, FIELDS)
        name = body.get("methodName")
        if not isinstance(name, str) or not name or "/" in name:
            raise refusal(400, "ArgumentInvalid", "methodName")
        within = seconds(body, "responseTimeoutInSeconds", 30, 5)
        connect_within = seconds(body, "connectTimeoutInSeconds", 0, 0)
        payload = body.get("payload")
        if len(json.dumps(payload)) > PAYLOAD_LIMIT:
            raise refusal(400, "ArgumentInvalid", "payload")
        link = await listening(hub, device, connect_within)
        answer = None if link is None else await link.call(name, payload, within)
        status = answer.status if answer is not None else None
        facts = {"hub": hub.name, "device": device.device_id, "method": name, "payload": payload}
        hub.world.journal.write("IoT Hub", "method invoked", online=link is not None, answer=status, **facts)
        if link is None:
            raise failure(404, 404103, "DeviceNotOnline", f"the requested device isn't online: {device.device_id}")
        if answer is None:
            raise failure(504, 504101, "GatewayTimeout", "Timed out waiting for the response from device.")
        return web.json_response({"status": answer.status, "payload": answer.payload})

    return invoke_method


def seconds(body: Json, name: str, otherwise: int, least: int) -> int:
    """Both time-outs are whole seconds, up to 300; no connection at once is no connection, unless asked otherwise."""
    value = body.get(name)
    value = otherwise if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= 300:
        raise refusal(400, "ArgumentInvalid", f"{name} is between {least} and 300")
    return value


async def listening(hub: Hub, device: Device, within: int) -> Link | None:
    """The connection of a device that takes methods, now or soon."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while True:
        link = hub.links.get(device.device_id)
        if link is not None and METHODS in link.subscriptions:
            return link
        if loop.time() >= end:
            return None
        await asyncio.sleep(LOOK_AGAIN)


def failure(status: int, number: int, name: str, text: str) -> web.HTTPException:
    """The text of these two holds JSON once more."""
    inner = {
        "errorCode": number,
        "trackingId": uuid.uuid4().hex,
        "message": f"The operation failed because {text}" if number == 404103 else text,
        "info": {},
        "timestampUtc": wire_time(datetime.now(UTC)),
    }
    error = refusal(status, name, text)
    error.text = json.dumps({"Message": json.dumps(inner), "ExceptionMessage": ""})
    return error
