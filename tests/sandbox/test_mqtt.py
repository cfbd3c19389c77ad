"""MQTT 3.1.1 on the wire: what IoT Hub takes, octet by octet, and how it says no."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import pki
from sandbox.dps.state import thumbprint
from sandbox.iot_hub import mqtt
from sandbox.iot_hub.state import new_identity, self_signed
from tests.sandbox.azure import Azure, play
from tests.sandbox.support import Device, call, new_device

SUBSCRIBE = bytes.fromhex("820a 0001 0005 612f622f23 00".replace(" ", ""))


@given(st.lists(st.integers(1, 40)), st.binary(max_size=400))
def test_it_means_nothing_how_the_octets_are_cut(sizes: list[int], payload: bytes) -> None:
    sent = mqtt.publish("a/b", payload) + mqtt.PINGRESP + mqtt.suback(7, [0, 0x80])
    whole = list(mqtt.Stream().packets(sent))
    stream, came, position = mqtt.Stream(), [], 0
    for size in [*sizes, len(sent)]:
        came += list(stream.packets(sent[position : position + size]))
        position += size
    assert came == whole
    assert mqtt.read_publish(whole[0]) == mqtt.Publish("a/b", payload, 0, 0)


def test_a_subscription_names_its_topics() -> None:
    (packet,) = mqtt.Stream().packets(SUBSCRIBE)
    assert mqtt.read_subscribe(packet) == mqtt.Subscribe(1, ("a/b/#",))


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("30ffffffff01", "more than four octets"),
        ("30ffffff7f", "larger than IoT Hub takes"),
        ("34050001610001", "QoS 2"),
        ("3003000561", "shorter than what it holds"),
        ("30040002fffe", "not UTF-8"),
        ("8003000100", "flags"),
        ("82020001", "names no topic"),
        ("1006000351495344", "no CONNECT"),
    ],
)
def test_what_is_not_mqtt_is_named(octets: str, text: str) -> None:
    readers = {1: mqtt.read_connect, 3: mqtt.read_publish, 8: mqtt.read_subscribe}

    def read() -> None:
        for packet in mqtt.Stream().packets(bytes.fromhex(octets)):
            readers[packet.kind](packet)

    with pytest.raises(mqtt.MqttError, match=text):
        read()


def hello(client: str, user: str, *, level: int = 4, password: str = "") -> bytes:
    flags = 0x82 | (0x40 if password else 0)
    texts = [client, user, *([password] if password else [])]
    body = b"\x00\x04MQTT" + bytes([level, flags, 0, 1])
    body += b"".join(len(text).to_bytes(2) + text.encode() for text in texts)
    return bytes([0x10, len(body) % 128 | 0x80, len(body) // 128]) + body


async def ask(stage: Azure, device: Device | None, *parts: bytes, silent: bool = False) -> list[bytes]:
    """What the hub answers to each part, on one connection; an empty text when it ends the connection."""
    answers = []
    url = f"wss://{stage.hub_a.host}/$iothub/websocket"
    context = stage.context(device)
    async with aiohttp.ClientSession() as session, session.ws_connect(url, ssl=context, protocols=["mqtt"]) as socket:
        assert socket.protocol == "mqtt"
        for part in parts:
            await socket.send_bytes(part)
            answers.append(await received(socket))
        if silent:
            answers.append(await received(socket))
    return answers


async def received(socket: aiohttp.ClientWebSocketResponse) -> bytes:
    message = await socket.receive(timeout=5)
    return bytes(message.data) if message.type is aiohttp.WSMsgType.BINARY else b""


def test_who_is_not_let_in_is_told_by_a_number(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        known, stranger = (new_device(stage.hierarchy.ica, "dev-1") for _ in range(2))
        stage.hub_a.create("dev-1", new_identity(self_signed(thumbprint(known.leaf), None)))
        user = f"{stage.hub_a.host}/dev-1/?api-version=2021-04-12"
        typical = f"{stage.hub_a.host}/dev-1/?DeviceClientType=x&api-version=2019-10-01&model-id=y"
        tried: list[tuple[bytes, Device | None, int]] = [
            (hello("dev-1", user), known, 0),
            (hello("dev-1", typical), known, 0),
            (hello("dev-1", user, level=5), known, 1),
            (hello("dev-2", user), known, 2),
            (hello("dev-1", "dev-1"), known, 4),
            (hello("dev-1", user.replace("2021-04-12", "2014-01-01")), known, 4),
            (hello("dev-1", f"{stage.hub_b.host}/dev-1/?api-version=2021-04-12"), known, 4),
            (hello("dev-1", user, password="SharedAccessSignature sr=x"), known, 5),
            (hello("dev-1", user), stranger, 5),
            (hello("dev-1", user), None, 5),
        ]
        for octets, device, code in tried:
            assert await ask(stage, device, octets) == [mqtt.connack(code)], octets
        hub = stage.hub_a
        hub.replace(hub.devices["dev-1"], hub.devices["dev-1"].identity | {"status": "disabled"})
        assert await ask(stage, known, hello("dev-1", user)) == [mqtt.connack(5)]

    play(tmp_path, scenario)


def test_a_connection_is_answered_packet_by_packet_and_ends_when_the_device_is_silent(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        device = new_device(pki.factory_authority(), "dev-1")
        stage.hub_a.create("dev-1", new_identity(self_signed(thumbprint(device.leaf), None)))
        begin = hello("dev-1", f"{stage.hub_a.host}/dev-1/?api-version=2021-04-12")
        ping, unsubscribe = bytes([0xC0, 0]), bytes.fromhex("a2090002000561 2f622f23".replace(" ", ""))
        answers = await ask(stage, device, begin, SUBSCRIBE, unsubscribe, ping, silent=True)
        assert answers == [mqtt.connack(0), mqtt.suback(1, [0x80]), mqtt.unsuback(2), mqtt.PINGRESP, b""]
        assert await ask(stage, device, begin, bytes([0xE0, 0])) == [mqtt.connack(0), b""]
        assert await ask(stage, device, begin, begin) == [mqtt.connack(0), b""]
        assert await ask(stage, device, ping) == [b""]
        async with asyncio.timeout(5):
            while stage.hub_a.links:  # noqa: ASYNC110 - what is waited for lives in the stand-in
                await asyncio.sleep(0.01)
        ended = [entry["reason"] for entry in stage.world.journal.entries if entry["event"] == "device disconnected"]
        assert ended == [
            "the device was silent for 2 s",
            "the device has said goodbye",
            "a device does not send packets of type 1",
        ]

    play(tmp_path, scenario)


def test_a_request_that_is_no_websocket_is_answered_as_one_like_any_other(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        url = f"https://{stage.hub_a.host}/$iothub/websocket"
        assert (await call("GET", url, stage.context())).status == 400
        elsewhere = f"wss://{stage.hub_a.host}/somewhere"
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(elsewhere, ssl=stage.context())
            assert refused.value.status == 501

    play(tmp_path, scenario)
