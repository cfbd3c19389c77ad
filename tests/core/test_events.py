"""What IoT Hub tells through Event Grid."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.events import DeviceCreated, Ignored, parse_event
from shared.core.identity import device_id

CREATED = "Microsoft.Devices.DeviceCreated"


def test_a_created_device_is_noticed_whatever_else_the_event_says() -> None:
    data = {"hubName": "hub-1", "deviceId": "device-1", "twin": {"properties": {}}}
    assert parse_event(CREATED, data) == DeviceCreated("hub-1", device_id("device-1"))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("Microsoft.Devices.DeviceTelemetry", {"hubName": "hub-1", "deviceId": "device-1"}),
        ("", None),
        (CREATED, None),
        (CREATED, []),
        (CREATED, "device-1"),
        (CREATED, {}),
        (CREATED, {"hubName": "hub-1"}),
        (CREATED, {"hubName": "hub-1", "deviceId": 7}),
        (CREATED, {"hubName": None, "deviceId": "device-1"}),
        (CREATED, {"hubName": "hub-1", "deviceId": "a device of IoT Hub that DPS could not have made"}),
    ],
)
def test_anything_else_is_ignored_with_a_reason(kind: str, data: object) -> None:
    found = parse_event(kind, data)
    assert isinstance(found, Ignored)
    assert found.reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.text() | st.just(CREATED), JSON | st.fixed_dictionaries({"hubName": JSON, "deviceId": JSON}))
def test_no_event_raises(kind: str, data: object) -> None:
    assert isinstance(parse_event(kind, data), DeviceCreated | Ignored)
