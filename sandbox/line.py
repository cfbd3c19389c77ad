"""A device's MQTT connection to its hub, over WebSockets, with a client certificate; the client is Eclipse Paho's.

https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-hub
"""

import json
import queue
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from paho.mqtt.client import Client, MQTTMessage, MQTTv311, WebsocketConnectionError
from paho.mqtt.enums import CallbackAPIVersion

from sandbox.device import DeviceError, Identity

API_VERSION: Final = "2021-04-12"
PATH: Final = "/$iothub/websocket"
FILTERS: Final = ("$iothub/methods/POST/#", "$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#")
ANSWER_WITHIN: Final = 10.0


class RefusedError(DeviceError):
    """There is a hub, and it does not let the certificate in."""


@dataclass
class Line:
    """One connection to a hub with one certificate; `lost` is called once, when it ends by itself."""

    host: str
    identity: Identity
    trust: Callable[[Identity], ssl.SSLContext]
    heard: Callable[[str, bytes], None]
    lost: Callable[[], None]
    client: Client = field(init=False)
    answers: "queue.Queue[int]" = field(default_factory=queue.Queue)

    def open(self) -> None:
        """Raises RefusedError when the hub does not let the certificate in, DeviceError when there is no hub."""
        name, (address, _, port) = self.identity.name, self.host.partition(":")
        client = Client(
            CallbackAPIVersion.VERSION2, name, protocol=MQTTv311, transport="websockets", reconnect_on_failure=False
        )
        self.client = client
        client.username_pw_set(f"{self.host}/{name}/?api-version={API_VERSION}")
        client.tls_set_context(self.trust(self.identity))
        client.ws_set_options(path=PATH)
        client.on_connect = lambda *told: self.answers.put(told[3].value)
        client.on_message = self.message
        client.on_subscribe = lambda *_: self.answers.put(0)
        try:
            client.connect(address, int(port or 443), keepalive=60)
        except (OSError, WebsocketConnectionError) as error:
            raise DeviceError(f"no connection to {self.host}: {error}") from error
        client.loop_start()
        code = self.answered()
        if code:
            self.close()
            raise RefusedError(f"{self.host} refuses the certificate (MQTT reason {code})")
        client.on_disconnect = lambda *_: self.lost()
        client.subscribe([(each, 0) for each in FILTERS])
        self.answered()

    def answered(self) -> int:
        try:
            return self.answers.get(timeout=ANSWER_WITHIN)
        except queue.Empty:
            self.close()
            raise DeviceError(f"{self.host} does not answer within {ANSWER_WITHIN:.0f} s") from None

    def message(self, _: Client, __: object, message: MQTTMessage) -> None:
        self.heard(message.topic, bytes(message.payload))

    def send(self, topic: str, content: object = None) -> None:
        self.client.publish(topic, b"" if content is None else json.dumps(content).encode())

    def close(self) -> None:
        self.client.on_disconnect = None
        self.client.disconnect()
        self.client.loop_stop()
