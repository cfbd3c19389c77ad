"""What IoT Hub tells through Event Grid."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.events import (
    DeviceConnection,
    DeviceCreated,
    DeviceDeleted,
    Ignored,
    Unreadable,
    parse_event,
)
from shared.core.identity import device_id

CREATED = "Microsoft.Devices.DeviceCreated"
DELETED = "Microsoft.Devices.DeviceDeleted"
CONNECTED = "Microsoft.Devices.DeviceConnected"
DISCONNECTED = "Microsoft.Devices.DeviceDisconnected"
AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DEVICE = {"hubName": "hub-1", "deviceId": "device-1"}
NUMBER = "000000000000000001D4132452F67CE200000002000000000000000000000001"


def connection(number: object = NUMBER, **more: object) -> dict[str, object]:
    return {**DEVICE, "deviceConnectionStateEventInfo": {"sequenceNumber": number}, **more}


def test_a_created_device_is_noticed_whatever_else_the_event_says() -> None:
    assert parse_event(CREATED, {**DEVICE, "twin": {"properties": {}}}, None) == DeviceCreated(
        "hub-1", device_id("device-1")
    )


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(AT, id="UTC"),
        pytest.param(AT.replace(tzinfo=None), id="a worker that has lost the zone"),
        pytest.param(AT.astimezone(timezone(timedelta(hours=5))), id="another zone"),
    ],
)
def test_a_deleted_device_is_noticed_with_its_time(at: datetime) -> None:
    found = parse_event(DELETED, DEVICE, at)
    assert found == DeviceDeleted("hub-1", device_id("device-1"), AT)
    assert isinstance(found, DeviceDeleted)
    assert found.at.tzinfo is UTC


@pytest.mark.parametrize("kind", [CONNECTED, DISCONNECTED])
@pytest.mark.parametrize("module", [{}, {"moduleId": ""}])
def test_a_connection_has_its_place_in_the_order(kind: str, module: dict[str, object]) -> None:
    expected = DeviceConnection("hub-1", device_id("device-1"), NUMBER.lower(), AT, kind == CONNECTED)
    assert parse_event(kind, connection(**module), AT) == expected


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
def test_sequence_numbers_compare_as_text_however_wide_and_in_whatever_case(one: int, other: int) -> None:
    first, second = (parse_event(CONNECTED, connection(text), AT) for text in (f"{one:X}", f"{other:064x}"))
    assert isinstance(first, DeviceConnection)
    assert isinstance(second, DeviceConnection)
    assert (first.sequence < second.sequence) == (one < other)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("Microsoft.Devices.DeviceTelemetry", DEVICE),
        ("DeviceCreated", DEVICE),
        ("", None),
        (CREATED, {"hubName": "hub-1", "deviceId": "a device of IoT Hub that DPS could not have made"}),
        (CONNECTED, connection(moduleId="agent")),
    ],
)
def test_what_is_not_ours_is_ignored_with_a_reason(kind: str, data: object) -> None:
    found = parse_event(kind, data, AT)
    assert isinstance(found, Ignored)
    assert found.reason


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (CREATED, None),
        (CREATED, []),
        (CREATED, "device-1"),
        (CREATED, {}),
        (CREATED, {"hubName": "hub-1"}),
        (CREATED, {"hubName": "hub-1", "deviceId": 7}),
        (CREATED, {"hubName": None, "deviceId": "device-1"}),
        (CONNECTED, DEVICE),
        (CONNECTED, connection("")),
        (CONNECTED, connection("0x1")),
        (CONNECTED, connection("1" * 65)),
        (CONNECTED, connection(1)),
        (CONNECTED, {**DEVICE, "deviceConnectionStateEventInfo": None}),
    ],
)
def test_what_should_be_acted_on_and_cannot_be_read_is_told_apart(kind: str, data: object) -> None:
    found = parse_event(kind, data, AT)
    assert isinstance(found, Unreadable)
    assert found.reason


NO_TIMES = (
    pytest.param(None, id="none"),
    pytest.param(datetime.fromisoformat("0001-01-01T00:00:00+01:00"), id="before all years"),
    pytest.param(datetime.fromisoformat("0001-01-01T00:00:00Z"), id="before all services"),
    pytest.param(datetime.fromisoformat("9999-12-31T23:59:59-01:00"), id="after all years"),
)


@pytest.mark.parametrize("at", NO_TIMES)
@pytest.mark.parametrize("kind", [CONNECTED, DISCONNECTED, DELETED])
def test_without_its_time_an_event_cannot_be_placed(kind: str, at: datetime | None) -> None:
    assert isinstance(parse_event(kind, connection(), at), Unreadable)


@pytest.mark.parametrize("at", NO_TIMES)
def test_a_created_device_needs_no_time(at: datetime | None) -> None:
    assert parse_event(CREATED, DEVICE, at) == DeviceCreated("hub-1", device_id("device-1"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
LIKE = st.fixed_dictionaries(
    {"hubName": JSON, "deviceId": JSON}, optional={"deviceConnectionStateEventInfo": JSON, "moduleId": JSON}
)


@given(st.text() | st.sampled_from([CREATED, DELETED, CONNECTED, DISCONNECTED]), JSON | LIKE)
def test_no_event_raises(kind: str, data: object) -> None:
    assert parse_event(kind, data, AT) is not None
