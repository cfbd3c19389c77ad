"""The hub as a connected device sees it: MQTT 3.1.1 over WebSockets, with a client certificate.

https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-hub. Real hubs offer the same on port 8883 without
WebSockets. Not played: messages from the cloud, file upload, modules, shared access signatures, persistent sessions.
"""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Final

from aiohttp import WSMsgType, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sandbox.iot_hub import mqtt
from sandbox.iot_hub.device import MESSAGE_LIMIT, why_not
from sandbox.iot_hub.errors import API_VERSIONS, Hubs, named_hub
from sandbox.iot_hub.link import FILTERS, Link
from sandbox.iot_hub.mqtt import MqttError
from sandbox.iot_hub.state import Device, Hub, wire_time
from sandbox.iot_hub.topics import take
from sandbox.web import client_chain
from sandbox.world import World

PATH: Final = "/$iothub/websocket"
USER_NAME: Final = re.compile(r"(?P<hub>[^/]+)/(?P<device>[^/]+)/\?(?:[^&]*&)*api-version=(?P<version>[^&]+)(?:&.*)?")
HELLO_WITHIN: Final = 10.0
# The longest silence that a hub allows is 29 minutes and 45 seconds, whatever the device has asked for.
LONGEST_SILENCE: Final = 1767.0


def routes(world: World, hubs: Hubs) -> list[web.RouteDef]:
    async def connected(request: web.Request) -> web.StreamResponse:
        hub = named_hub(hubs, request)
        socket = web.WebSocketResponse(protocols=("mqtt",), max_msg_size=mqtt.LARGEST)
        await socket.prepare(request)
        await Session(world, hub, socket, client_chain(request)).run()
        return socket

    return [web.get(PATH, connected)]


@dataclass
class Session:
    """One connection, from the first packet to the last."""

    world: World
    hub: Hub
    socket: web.WebSocketResponse
    chain: list[x509.Certificate]
    stream: mqtt.Stream = field(default_factory=mqtt.Stream)
    # What is to be sent, in its order; None is the end.
    outgoing: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    silence: float = HELLO_WITHIN
    reason: str = ""

    async def run(self) -> None:
        writer = asyncio.create_task(self.write())
        try:
            await self.serve()
        finally:
            self.outgoing.put_nowait(None)
            await writer

    async def write(self) -> None:
        """Ends the connection when told to, after what was to be sent before."""
        while (octets := await self.outgoing.get()) is not None:
            try:
                await self.socket.send_bytes(octets)
            except ConnectionError:
                break  # it is gone; the reader sees that, too
        await self.socket.close()

    def cut(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.outgoing.put_nowait(None)

    async def serve(self) -> None:
        device: Device | None = None
        link = Link(self.outgoing.put_nowait, self.cut)
        try:
            while (came := await self.socket.receive(self.silence)).type is WSMsgType.BINARY:
                for packet in self.stream.packets(came.data):
                    if self.reason:
                        return
                    if device is None:
                        device = self.admit(mqtt.read_connect(packet))
                        if device is None:
                            return
                        self.hub.joined(device, link)
                    elif not self.obey(packet, device, link):
                        return
        except MqttError as error:
            self.cut(str(error))
        except TimeoutError:
            self.cut(f"the device was silent for {self.silence:.0f} s")
        finally:
            if device is not None:
                self.hub.left(device.device_id, link, self.reason or "the device is gone")

    def admit(self, hello: mqtt.Connect) -> Device | None:
        code, device_id, reason = self.judged(hello)
        thumbprint = self.chain[0].fingerprint(hashes.SHA256()).hex() if self.chain else None
        facts = {"hub": self.hub.name, "device": device_id, "thumbprint": thumbprint, "protocol": "MQTT"}
        self.outgoing.put_nowait(mqtt.connack(code))
        if reason:
            self.world.journal.write("IoT Hub", "device refused", reason=reason, **facts)
            return None
        self.world.journal.write("IoT Hub", "device accepted", **facts)
        self.silence = min(hello.keep_alive * 1.5 or LONGEST_SILENCE, LONGEST_SILENCE)
        return self.hub.devices[device_id]

    def judged(self, hello: mqtt.Connect) -> tuple[int, str, str]:
        """Return code, device and the reason of a refusal, which the device is not told."""
        if hello.level != 4:
            return mqtt.WRONG_VERSION, hello.client_id, f"level {hello.level} is not MQTT 3.1.1"
        name = USER_NAME.fullmatch(hello.user_name)
        if name is None or name["hub"] != self.hub.host or name["version"] not in API_VERSIONS:
            return mqtt.WRONG_USER_NAME, hello.client_id, f"the user name is {hello.user_name!r}"
        if hello.client_id != name["device"]:
            return mqtt.WRONG_CLIENT_ID, hello.client_id, "the client id is not the device id"
        if hello.has_password:
            return mqtt.NOT_AUTHORIZED, hello.client_id, "a password came where a certificate speaks"
        reason, _ = why_not(self.world, self.hub, hello.client_id, self.chain)
        return (mqtt.NOT_AUTHORIZED if reason else mqtt.ACCEPTED), hello.client_id, reason

    def obey(self, packet: mqtt.Packet, device: Device, link: Link) -> bool:
        """Whether the connection goes on."""
        device.last_activity = wire_time(self.world.clock.now())
        match packet.kind:
            case mqtt.SUBSCRIBE:
                self.subscribe(mqtt.read_subscribe(packet), device, link)
            case mqtt.UNSUBSCRIBE:
                wanted = mqtt.read_subscribe(packet)
                link.subscriptions.difference_update(wanted.filters)
                link.send(mqtt.unsuback(wanted.packet_id))
            case mqtt.PUBLISH:
                self.published(mqtt.read_publish(packet), device, link)
            case mqtt.PINGREQ:
                link.send(mqtt.PINGRESP)
            case mqtt.PUBACK:
                pass  # nothing goes out that wants one
            case mqtt.DISCONNECT:
                self.reason = self.reason or "the device has said goodbye"
                return False
            case other:
                raise MqttError(f"a device does not send packets of type {other}")
        return True

    def subscribe(self, wanted: mqtt.Subscribe, device: Device, link: Link) -> None:
        known = FILTERS | {f"devices/{device.device_id}/messages/devicebound/#"}
        granted = [name in known for name in wanted.filters]
        link.subscriptions.update(name for name in wanted.filters if name in known)
        link.send(mqtt.suback(wanted.packet_id, [0 if each else mqtt.REFUSED_FILTER for each in granted]))
        self.used(device, link)

    def published(self, message: mqtt.Publish, device: Device, link: Link) -> None:
        if len(message.payload) > MESSAGE_LIMIT:
            raise MqttError("a message holds 256 KB")
        take(self.hub, device, link, message)
        if message.qos:
            link.send(mqtt.puback(message.packet_id))
        self.used(device, link)

    def used(self, device: Device, link: Link) -> None:
        if not link.active:
            link.active = True
            self.hub.presence.changed(device.device_id, connected=True)
