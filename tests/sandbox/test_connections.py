"""A hub's connections: one for each device, methods over them, what a device may say, and how they end."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from azure.iot.hub.models import CloudToDeviceMethod
from msrest.exceptions import HttpOperationError

from sandbox.line import Line, RefusedError
from tests.sandbox.azure import Azure, play
from tests.sandbox.connecting import Life, admitted, identity, journal, staged, until
from tests.sandbox.support import new_device
from tests.sandbox.test_iot_hub import manager


def test_a_new_thumbprint_cuts_nobody_and_lets_the_old_certificate_in_no_more(tmp_path: Path) -> None:
    def scenario(life: Life) -> None:
        stage = life.stage
        old, new = new_device(stage.hierarchy.ica, "dev-1"), new_device(stage.hierarchy.ica, "dev-1")
        admitted(stage, stage.hub_a, old)
        with life.device(old) as device:
            admitted(stage, stage.hub_a, new)
            time.sleep(0.2)
            assert device.online.is_set()
        with pytest.raises(RefusedError):
            life.device(old).start()

    staged(tmp_path, scenario)


def test_a_second_connection_of_a_device_ends_the_first(tmp_path: Path) -> None:
    def scenario(life: Life) -> None:
        stage, present = life.stage, new_device(life.stage.hierarchy.ica, "dev-1")
        admitted(stage, stage.hub_a, present)
        lost = threading.Event()
        first, second = (
            Line(stage.hub_a.host, identity(present), lambda _: stage.context(present), lambda *_: None, then)
            for then in (lost.set, lambda: None)
        )
        first.open()
        second.open()
        assert lost.wait(10)
        assert stage.hub_a.devices["dev-1"].connection_state == "Connected"
        ended = [entry["reason"] for entry in journal(stage, "device disconnected")]
        assert ended == ["another connection of the same device"]
        first.close()
        second.close()

    staged(tmp_path, scenario)


def test_a_method_finds_nobody_or_waits_for_the_device_or_gets_no_answer(tmp_path: Path) -> None:
    def scenario(life: Life) -> None:
        stage, present = life.stage, new_device(life.stage.hierarchy.ica, "dev-1")
        admitted(stage, stage.hub_a, present)
        sdk = manager(stage, stage.hub_a)

        def call(**options: Any) -> HttpOperationError:  # noqa: ANN401 - the SDK ships no types
            with pytest.raises(HttpOperationError) as raised:
                sdk.invoke_device_method("dev-1", CloudToDeviceMethod(method_name="renew", **options))
            return raised.value

        offline = call()
        assert (offline.response.status_code, "404103" in offline.response.text) == (404, True)
        assert call(response_timeout_in_seconds=1).response.status_code == 400
        device = life.device(present)
        threading.Timer(0.3, device.start).start()
        late = CloudToDeviceMethod(method_name="reboot", connect_timeout_in_seconds=10)
        assert sdk.invoke_device_method("dev-1", late).status == 404
        device.stop()
        silent = Line(
            stage.hub_a.host, identity(present), lambda _: stage.context(present), lambda *_: None, lambda: None
        )
        silent.open()
        slow = call(response_timeout_in_seconds=5)
        assert (slow.response.status_code, "504101" in slow.response.text) == (504, True)
        silent.close()

    staged(tmp_path, scenario)


def test_what_a_device_reports_is_checked_and_what_it_may_not_say_ends_the_connection(tmp_path: Path) -> None:
    def scenario(life: Life) -> None:
        stage, present = life.stage, new_device(life.stage.hierarchy.ica, "dev-1")
        admitted(stage, stage.hub_a, present)
        heard: list[tuple[str, bytes]] = []
        lost = threading.Event()
        line = Line(
            stage.hub_a.host,
            identity(present),
            lambda _: stage.context(present),
            lambda *told: heard.append(told),
            lost.set,
        )
        line.open()
        report = "$iothub/twin/PATCH/properties/reported/?$rid="
        line.send(f"{report}1", {"fw": "1", "a": {"b": 2}})
        line.send(f"{report}2", {"fw": None})
        line.send(f"{report}3", {"a.b": 1})
        line.send("devices/dev-1/messages/events/", {"hello": 1})
        line.client.publish("devices/dev-1/messages/events/$.ct=application%2Fjson", b"{}", qos=1).wait_for_publish(5)
        until(lambda: len(heard) == 3)
        assert [topic for topic, _ in heard] == [
            "$iothub/twin/res/204/?$rid=1&$version=2",
            "$iothub/twin/res/204/?$rid=2&$version=3",
            "$iothub/twin/res/400/?$rid=3",
        ]
        assert stage.hub_a.devices["dev-1"].reported.content == {"a": {"b": 2}}
        assert len(journal(stage, "telemetry")) == 2
        line.send("devices/dev-2/messages/events/", {})
        assert lost.wait(10)
        line.close()
        (ended,) = journal(stage, "device disconnected")
        assert ended["reason"] == "a device may not publish to devices/dev-2/messages/events/"

    staged(tmp_path, scenario)


def test_the_stand_in_goes_down_with_devices_connected(tmp_path: Path) -> None:
    kept: list[Any] = []

    async def scenario(stage: Azure) -> None:
        present = new_device(stage.hierarchy.ica, "dev-1")
        admitted(stage, stage.hub_a, present)
        kept.append(Life(stage).device(present))
        await asyncio.to_thread(kept[0].start)

    play(tmp_path, scenario)
    until(lambda: not kept[0].online.is_set())
    kept[0].stop()
