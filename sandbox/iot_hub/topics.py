"""What a connected device says, by its topic: telemetry, its twin, the answers to methods.

https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-hub, from "Send device-to-cloud messages" on
"""

import json
import re
from typing import Any, Final

from aiohttp import web

from sandbox.iot_hub.link import TWIN_ANSWERS, Link, MethodAnswer
from sandbox.iot_hub.mqtt import MqttError, Publish
from sandbox.iot_hub.state import Device, Hub
from sandbox.iot_hub.twins import check_part, check_size, merged

Json = dict[str, Any]

REQUEST: Final = r"\?\$rid=(?P<rid>[^&]*)"
TWIN_GET: Final = re.compile(r"\$iothub/twin/GET/" + REQUEST)
REPORT: Final = re.compile(r"\$iothub/twin/PATCH/properties/reported/" + REQUEST)
METHOD_ANSWER: Final = re.compile(r"\$iothub/methods/res/(?P<status>-?\d{1,9})/" + REQUEST)


def take(hub: Hub, device: Device, link: Link, message: Publish) -> None:
    """Raises MqttError for a topic that is not the device's: IoT Hub ends the connection then."""
    topic = message.topic
    if topic.startswith(f"devices/{device.device_id}/messages/events/"):
        hub.world.journal.write("IoT Hub", "telemetry", device=device.device_id, size=len(message.payload))
    elif found := TWIN_GET.fullmatch(topic):
        twin = {"desired": device.desired.for_device(), "reported": device.reported.for_device()}
        link.publish(TWIN_ANSWERS, f"$iothub/twin/res/200/?$rid={found['rid']}", twin)
    elif found := REPORT.fullmatch(topic):
        report(hub, device, link, found["rid"], message.payload)
    elif found := METHOD_ANSWER.fullmatch(topic):
        link.answered(found["rid"], MethodAnswer(int(found["status"]), method_payload(message.payload)))
    else:
        raise MqttError(f"a device may not publish to {topic}")


def report(hub: Hub, device: Device, link: Link, request_id: str, payload: bytes) -> None:
    """A patch of the reported properties; null removes one."""
    try:
        patch = json.loads(payload)
        check_part(patch, 1)
        reported = merged(device.reported.content, patch)
        check_size("reported", reported)
    except (ValueError, RecursionError, web.HTTPException):
        # The body of a refusal is documented nowhere: it is left empty here.
        link.publish(TWIN_ANSWERS, f"$iothub/twin/res/400/?$rid={request_id}", {})
        return
    hub.report(device, reported)
    topic = f"$iothub/twin/res/204/?$rid={request_id}&$version={device.reported.version}"
    link.publish(TWIN_ANSWERS, topic, {})


def method_payload(payload: bytes) -> object:
    try:
        return json.loads(payload) if payload else None
    except ValueError as error:
        raise MqttError("the answer to a method is not JSON") from error
