"""Devices that stay connected: a real MQTT client on the one side, Microsoft's service SDK on the other."""

import time
from pathlib import Path

import pytest
from azure.iot.hub.models import CloudToDeviceMethod, Twin

from sandbox.connected import serial_of
from tests.sandbox.connecting import Life, admitted, staged, until
from tests.sandbox.support import new_device
from tests.sandbox.test_iot_hub import manager


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
