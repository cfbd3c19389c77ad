"""The packets of MQTT 3.1.1 that an IoT Hub reads and writes; the marks are sections of the standard.

https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html and
https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-hub
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

CONNECT: Final = 1
PUBLISH: Final = 3
PUBACK: Final = 4
SUBSCRIBE: Final = 8
UNSUBSCRIBE: Final = 10
PINGREQ: Final = 12
DISCONNECT: Final = 14

# CONNACK return codes (3.2.2.3)
ACCEPTED, WRONG_VERSION, WRONG_CLIENT_ID, WRONG_USER_NAME, NOT_AUTHORIZED = 0, 1, 2, 4, 5
REFUSED_FILTER: Final = 0x80  # in a SUBACK (3.9.3)
LARGEST: Final = 300 * 1024  # a message holds 256 KB; topic and header come on top

CONNACK: Final = 0x20
PINGRESP: Final = bytes([0xD0, 0])


class MqttError(ValueError):
    """What came is not MQTT 3.1.1, or no part of it that IoT Hub takes."""


@dataclass(frozen=True)
class Packet:
    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True)
class Connect:
    level: int
    client_id: str
    user_name: str
    has_password: bool
    keep_alive: int


@dataclass(frozen=True)
class Publish:
    topic: str
    payload: bytes
    qos: int
    packet_id: int


@dataclass(frozen=True)
class Subscribe:
    """`filters` are the topic filters in their order; UNSUBSCRIBE has the same form, but for the QoS of each."""

    packet_id: int
    filters: tuple[str, ...]


@dataclass
class Reader:
    """A packet's body, read field by field; whatever runs over its end is an error."""

    body: bytes
    position: int = 0

    def take(self, size: int) -> bytes:
        if self.position + size > len(self.body):
            raise MqttError("a packet is shorter than what it holds")
        self.position += size
        return self.body[self.position - size : self.position]

    def number(self, size: int = 2) -> int:
        return int.from_bytes(self.take(size))

    def text(self) -> str:
        """1.5.3: two octets of length, then UTF-8."""
        try:
            return self.take(self.number()).decode()
        except UnicodeDecodeError as error:
            raise MqttError("a text is not UTF-8") from error

    def rest(self) -> bytes:
        return self.take(len(self.body) - self.position)

    @property
    def ended(self) -> bool:
        return self.position == len(self.body)


@dataclass
class Stream:
    """Octets in the order in which they came; where one WebSocket message ends and the next begins means nothing."""

    waiting: bytearray = field(default_factory=bytearray)

    def packets(self, came: bytes) -> Iterator[Packet]:
        self.waiting += came
        while (packet := self._next()) is not None:
            yield packet

    def _next(self) -> Packet | None:
        """2.2.3: the length is a number of up to four octets, seven bits in each, the lowest first."""
        length = 0
        for place in range(4):
            if len(self.waiting) < place + 2:
                return None
            octet = self.waiting[place + 1]
            length |= (octet & 0x7F) << (7 * place)
            if octet < 0x80:
                break
        else:
            raise MqttError("the length of a packet has more than four octets")
        if length > LARGEST:
            raise MqttError("a packet is larger than IoT Hub takes")
        begin, first = place + 2, self.waiting[0]
        if len(self.waiting) < begin + length:
            return None
        packet = Packet(first >> 4, first & 0x0F, bytes(self.waiting[begin : begin + length]))
        del self.waiting[: begin + length]
        return packet


def read_connect(packet: Packet) -> Connect:
    """3.1. A will is read and dropped: IoT Hub makes a message of it when the device goes, which nobody here reads."""
    reader = Reader(packet.body)
    if packet.kind != CONNECT or reader.text() != "MQTT":
        raise MqttError("the first packet is no CONNECT of MQTT")
    level, flags, keep_alive = reader.number(1), reader.number(1), reader.number()
    client_id = reader.text()
    if flags & 0x04:
        reader.text()
        reader.take(reader.number())
    user_name = reader.text() if flags & 0x80 else ""
    password = reader.take(reader.number()) if flags & 0x40 else b""
    return Connect(level, client_id, user_name, bool(password), keep_alive)


def read_publish(packet: Packet) -> Publish:
    """3.3. IoT Hub knows no QoS 2."""
    qos = packet.flags >> 1 & 3
    if qos > 1:
        raise MqttError("IoT Hub takes no messages of QoS 2")
    reader = Reader(packet.body)
    topic = reader.text()
    packet_id = reader.number() if qos else 0
    return Publish(topic, reader.rest(), qos, packet_id)


def read_subscribe(packet: Packet) -> Subscribe:
    """3.8 and 3.10, whose flags are 2."""
    if packet.flags != 2:
        raise MqttError("the flags of a subscription are not 2")
    reader = Reader(packet.body)
    packet_id, filters = reader.number(), []
    while not reader.ended:
        filters.append(reader.text())
        if packet.kind == SUBSCRIBE:
            reader.take(1)
    if not filters:
        raise MqttError("a subscription names no topic")
    return Subscribe(packet_id, tuple(filters))


def connack(code: int) -> bytes:
    return bytes([CONNACK, 2, 0, code])


def suback(packet_id: int, codes: Sequence[int]) -> bytes:
    return bytes([0x90]) + _length(2 + len(codes)) + packet_id.to_bytes(2) + bytes(codes)


def unsuback(packet_id: int) -> bytes:
    return bytes([0xB0, 2]) + packet_id.to_bytes(2)


def puback(packet_id: int) -> bytes:
    return bytes([0x40, 2]) + packet_id.to_bytes(2)


def publish(topic: str, payload: bytes) -> bytes:
    """QoS 0, in which methods and twins come to a device."""
    name = topic.encode()
    return bytes([0x30]) + _length(2 + len(name) + len(payload)) + len(name).to_bytes(2) + name + payload


def _length(size: int) -> bytes:
    octets = bytearray()
    while True:
        size, low = divmod(size, 0x80)
        octets.append(low | (0x80 if size else 0))
        if not size:
            return bytes(octets)
