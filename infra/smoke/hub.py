"""A device's ways into its IoT Hub: a message over HTTPS, and a connection over MQTT; Eclipse Paho speaks that.

https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-hub and rest/api/iothub/device/send-device-event. A hub
raises events of connections that speak MQTT alone, once the device has said or subscribed to something.
"""

import json
import queue
import threading
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from paho.mqtt.client import Client, MQTTv311, WebsocketConnectionError
from paho.mqtt.enums import CallbackAPIVersion

from infra.smoke.device import Identity
from infra.smoke.wire import Address, Answer, Request, Silent, send

HTTPS_API: Final = "api-version=2020-03-13"
MQTT_API: Final = "2021-04-12"
MQTT_PORT: Final = 8883
_ANSWERS: Final = "$iothub/twin/res/#"
_REPORT: Final = "$iothub/twin/PATCH/properties/reported/?$rid=1"
_SECONDS: Final = 20.0


def message(hub: Address, identity: Identity) -> Answer:
    """The hub's answer to one message; 204 is welcome. Raises Silent."""
    path = f"/devices/{quote(identity.name, safe='')}/messages/events?{HTTPS_API}"
    body = json.dumps({"smoke": identity.name}).encode()
    return send(hub, Request("POST", path, body, (("Content-Type", "application/json"),)), identity.pem())


@dataclass
class Line:
    """A connection that lasts until either side ends it; `lost` is set when the hub does."""

    client: Client = field(repr=False)
    lost: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        self.client.on_disconnect = None
        self.client.disconnect()
        self.client.loop_stop()


def connect(hub: Address, identity: Identity, *, websockets: bool) -> Line:
    """Connected, and the certificate told in the twin's reported properties. Raises Silent."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        identity.name,
        protocol=MQTTv311,
        transport="websockets" if websockets else "tcp",
        reconnect_on_failure=False,
    )
    answers: queue.Queue[int] = queue.Queue()
    client.username_pw_set(f"{hub}/{identity.name}/?api-version={MQTT_API}")
    client.tls_set_context(hub.context(identity.pem()))
    client.ws_set_options(path="/$iothub/websocket")
    client.on_connect = lambda *told: answers.put(told[3].value)
    client.on_subscribe = lambda *_: answers.put(0)
    line = Line(client)
    try:
        client.connect(hub.name, hub.port if websockets else MQTT_PORT, keepalive=60)
        client.loop_start()
        _accepted(answers)
        client.on_disconnect = lambda *_: line.lost.set()
        client.subscribe(_ANSWERS)
        _accepted(answers)
    except (OSError, WebsocketConnectionError) as error:
        line.close()
        raise Silent(f"MQTT: {error}") from error
    leaf = identity.leaf
    told = {"certificate": {"serial": identity.serial, "notAfter": leaf.not_valid_after_utc.isoformat()}}
    client.publish(_REPORT, json.dumps(told))
    return line


def _accepted(answers: "queue.Queue[int]") -> None:
    try:
        code = answers.get(timeout=_SECONDS)
    except queue.Empty:
        raise ConnectionError("no answer") from None
    if code:
        raise ConnectionError(f"refused, reason {code}")
