"""Devices that stay connected: a real MQTT client on the one side, Microsoft's service SDK on the other."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from azure.iot.hub.models import CloudToDeviceMethod, Twin
from msrest.exceptions import HttpOperationError

from sandbox.connected import Connected, serial_of
from sandbox.device import DeviceError, Identity
from sandbox.dps.state import thumbprint
from sandbox.iot_hub.state import Hub, new_identity, self_signed
from sandbox.line import Line, RefusedError
from tests.sandbox.azure import Azure, play
from tests.sandbox.support import Device, new_device
from tests.sandbox.test_iot_hub import manager


def identity(device: Device) -> Identity:
    return Identity(device.key, device.chain)


def admitted(stage: Azure, hub: Hub, *devices: Device) -> None:
    """The hub knows dev-1 by the certificates of `devices`, one or two."""
    slots = self_signed(*[thumbprint(device.leaf) for device in (devices[0], devices[-1])])
    if "dev-1" in hub.devices:
        hub.replace(hub.devices["dev-1"], new_identity(slots))
    else:
        hub.create("dev-1", new_identity(slots))
    stage.events.clear()


@dataclass
class Life:
    """A connected device whose renewals are played by the test."""

    stage: Azure
    next: list[Device] = field(default_factory=list)
    registered: list[Identity] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def device(self, present: Device, hub: Hub | None = None) -> Connected:
        stage = self.stage
        return Connected(
            (hub or stage.hub_a).host,
            identity(present),
            lambda each: stage.context(Device(present.key, each.chain) if each.key is present.key else self.of(each)),
            self.renew,
            self.register,
            self.told.append,
        )

    def of(self, wanted: Identity) -> Device:
        return next(each for each in self.next if each.leaf == wanted.leaf)

    def renew(self, old: Identity) -> Identity:
        if not self.next:
            raise DeviceError("simpleenroll: 403 the device is blocked")
        fresh = self.next[0]
        assert fresh.leaf != old.leaf
        return identity(fresh)

    def register(self, fresh: Identity) -> str:
        self.registered.append(fresh)
        hub = self.stage.hub_a
        own = thumbprint(fresh.leaf)
        hub.provision("dev-1", self_signed(own, own), {}, {})
        return hub.host


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def staged(folder: Path, blocking: Callable[[Life], None]) -> None:
    """Runs what blocks (the device, the SDK) beside the stand-ins."""

    async def scenario(stage: Azure) -> None:
        await asyncio.to_thread(blocking, Life(stage))

    play(folder, scenario)


def journal(stage: Azure, event: str) -> list[dict[str, Any]]:
    return [entry for entry in list(stage.world.journal.entries) if entry["event"] == event]


def test_a_connected_device_reports_its_certificate_and_is_told_of_in_events(tmp_path: Path) -> None:
    def scenario(life: Life) -> None:
        stage, present = life.stage, new_device(life.stage.hierarchy.ica, "dev-1")
        admitted(stage, stage.hub_a, present)
        sdk = manager(stage, stage.hub_a)
        with life.device(present):
            until(lambda: sdk.get_twin("dev-1").properties.reported.get("certificate"))
            twin = sdk.get_twin("dev-1")
            assert twin.properties.reported["certificate"]["serial"] == serial_of(present.leaf)
            assert (twin.connection_state, sdk.get_device("dev-1").connection_state) == ("Connected", "Connected")
            until(lambda: stage.events)
        until(lambda: len(stage.events) == 2)
        kinds = [event["eventType"] for event in stage.events]
        assert kinds == ["Microsoft.Devices.DeviceConnected", "Microsoft.Devices.DeviceDisconnected"]
        numbers = [event["data"]["deviceConnectionStateEventInfo"]["sequenceNumber"] for event in stage.events]
        assert numbers == sorted(set(numbers))
        assert {len(number) for number in numbers} == {64}
        assert stage.events[0]["data"] | {"deviceConnectionStateEventInfo": None} == {
            "deviceConnectionStateEventInfo": None,
            "hubName": "hub-a",
            "deviceId": "dev-1",
            "moduleId": "",
        }
        assert sdk.get_twin("dev-1").connection_state == "Disconnected"

    staged(tmp_path, scenario)


def test_flapping_within_a_snapshot_is_lost(tmp_path: Path) -> None:
    def scenario(life: Life) -> None:
        stage, present = life.stage, new_device(life.stage.hierarchy.ica, "dev-1")
        admitted(stage, stage.hub_a, present)
        stage.hub_a.presence.snapshot = 0.8
        for _ in range(2):
            with life.device(present):
                pass
        time.sleep(1)
        assert stage.events == []
        with life.device(present):
            until(lambda: stage.events)
            assert [event["eventType"][18:] for event in stage.events] == ["DeviceConnected"]

    staged(tmp_path, scenario)


@pytest.mark.parametrize("how", ["method", "desired", "desired while away"])
def test_a_device_renews_when_it_is_asked_to_and_goes_on_with_the_new_certificate(tmp_path: Path, how: str) -> None:
    def scenario(life: Life) -> None:
        stage = life.stage
        old, new = new_device(stage.hierarchy.ica, "dev-1"), new_device(stage.hierarchy.ica, "dev-1")
        life.next.append(new)
        admitted(stage, stage.hub_a, old, new)
        sdk = manager(stage, stage.hub_a)
        wish = Twin(properties={"desired": {"certificate": {"renew": serial_of(old.leaf).upper()}}})
        if how == "desired while away":
            sdk.update_twin("dev-1", wish)
        with life.device(old) as device:
            if how == "method":
                method = CloudToDeviceMethod(method_name="renew", payload={"renew": serial_of(old.leaf)})
                answer = sdk.invoke_device_method("dev-1", method)
                assert (answer.status, answer.payload) == (200, {"renewing": True})
            elif how == "desired":
                sdk.update_twin("dev-1", wish)
            until(lambda: device.renewals == 1)
            until(lambda: sdk.get_twin("dev-1").properties.reported["certificate"]["serial"] == serial_of(new.leaf))
            again = CloudToDeviceMethod(method_name="renew", payload={"renew": serial_of(old.leaf)})
            assert sdk.invoke_device_method("dev-1", again).payload == {"renewing": False}
            assert sdk.invoke_device_method("dev-1", CloudToDeviceMethod(method_name="reboot")).status == 404
            time.sleep(0.2)
            assert device.renewals == 1
        assert life.registered == []
        assert device.refusals == []

    staged(tmp_path, scenario)


def test_a_hub_that_does_not_know_the_new_certificate_learns_of_it_from_dps(tmp_path: Path) -> None:
    def scenario(life: Life) -> None:
        stage = life.stage
        old, new = new_device(stage.hierarchy.ica, "dev-1"), new_device(stage.hierarchy.ica, "dev-1")
        life.next.append(new)
        admitted(stage, stage.hub_a, old)
        with life.device(old) as device:
            manager(stage, stage.hub_a).invoke_device_method("dev-1", CloudToDeviceMethod(method_name="renew"))
            until(lambda: device.renewals == 1)
            assert [each.leaf for each in life.registered] == [new.leaf]
            assert "refuses the certificate" in device.refusals[0]
            until(device.online.is_set)

    staged(tmp_path, scenario)


def test_a_renewal_that_is_refused_leaves_the_device_connected(tmp_path: Path) -> None:
    def scenario(life: Life) -> None:
        stage, present = life.stage, new_device(life.stage.hierarchy.ica, "dev-1")
        admitted(stage, stage.hub_a, present)
        sdk = manager(stage, stage.hub_a)
        with life.device(present) as device:
            sdk.invoke_device_method("dev-1", CloudToDeviceMethod(method_name="renew"))
            until(lambda: device.refusals)
            assert (device.renewals, device.online.is_set()) == (0, True)

    staged(tmp_path, scenario)


def test_who_is_disabled_is_cut_off_and_comes_back_when_enabled(tmp_path: Path) -> None:
    def scenario(life: Life) -> None:
        stage, present = life.stage, new_device(life.stage.hierarchy.ica, "dev-1")
        admitted(stage, stage.hub_a, present)
        sdk = manager(stage, stage.hub_a)
        with life.device(present) as device:
            identity = sdk.get_device("dev-1")
            identity.status = "disabled"
            identity = sdk.protocol.devices.create_or_update_identity("dev-1", identity, f'"{identity.etag}"')
            until(lambda: device.refusals)
            assert not device.online.is_set()
            assert "the identity is disabled" in stage.reasons()
            identity.status = "enabled"
            sdk.protocol.devices.create_or_update_identity("dev-1", identity, f'"{identity.etag}"')
            assert device.online.wait(10)
            sdk.delete_device("dev-1")
            until(lambda: not device.online.is_set())
            until(lambda: "unknown device" in stage.reasons())

    staged(tmp_path, scenario)


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
    kept: list[Connected] = []

    async def scenario(stage: Azure) -> None:
        present = new_device(stage.hierarchy.ica, "dev-1")
        admitted(stage, stage.hub_a, present)
        kept.append(Life(stage).device(present))
        await asyncio.to_thread(kept[0].start)

    runs: Callable[[Azure], Awaitable[None]] = scenario
    play(tmp_path, runs)
    until(lambda: not kept[0].online.is_set())
    kept[0].stop()
