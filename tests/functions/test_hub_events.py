"""Events of IoT Hub as the worker hands them over: in both schemas, and none of them lost."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import azure.functions as func
import pytest
from azure.functions import meta

from functions import hub_events
from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from tests.fakes.clock import START
from tests.fakes.world import Fakes, fakes
from tests.functions.calling import Kept, Message, handler

KINDS = "Microsoft.Devices."
DEVICE = {"hubName": "hub-a", "deviceId": "dev-1"}
CONNECTION = {**DEVICE, "deviceConnectionStateEventInfo": {"sequenceNumber": f"{7:064X}"}}
TIME = "2026-03-02T09:00:00.4383997Z"


def decoded(document: dict[str, Any]) -> Any:  # noqa: ANN401 - one of two classes
    """As the worker decodes a delivery for the trigger."""
    datum = meta.Datum(json.dumps(document), "json")
    return func.get_binding_registry().get("eventGridTrigger").decode(datum, trigger_metadata={})


def in_event_grids_own_schema(kind: str, data: object, time: str | None = TIME) -> Any:  # noqa: ANN401
    event = {"id": "event-1", "topic": "/HUB-A", "subject": "devices/dev-1", "eventType": KINDS + kind, "data": data}
    return decoded({**event, "eventTime": time, "dataVersion": "1", "metadataVersion": "1"})


def as_cloud_event(kind: str, data: object, time: str | None = TIME) -> Any:  # noqa: ANN401
    event = {"id": "event-1", "source": "/HUB-A", "subject": "devices/dev-1", "type": KINDS + kind, "data": data}
    return decoded({**event, "time": time, "specversion": "1.0"})


type Schema = Callable[[str, object], Any]

SCHEMAS = pytest.mark.parametrize("schema", [in_event_grids_own_schema, as_cloud_event])


@pytest.fixture
def world() -> Fakes:
    """A device that lives in hub-a."""
    found = fakes(deleted_devices="revoke")
    issued = asyncio.run(found.birth(found.device())).issued
    found.hubs.put("hub-a", DeviceId("dev-1"), issued.certificate.thumbprint)
    return found


def deliver(world: Fakes, event: Any) -> str:  # noqa: ANN401
    """What is kept of it."""
    kept = Kept()
    asyncio.run(handler(hub_events.blueprint, world.application, "hub_events")(event, kept))
    return kept.value


def again(world: Fakes, kept: str) -> None:
    asyncio.run(handler(hub_events.blueprint, world.application, "hub_events_again")(Message(kept)))


def known(world: Fakes) -> Any:  # noqa: ANN401
    return world.ledger.read(DeviceId("dev-1")).device


@SCHEMAS
def test_the_life_of_a_device_in_its_hub_is_followed(world: Fakes, schema: Schema) -> None:
    assert deliver(world, schema("DeviceCreated", DEVICE)) == ""
    assert known(world).hub == "hub-a"
    assert deliver(world, schema("DeviceConnected", CONNECTION)) == ""
    assert known(world).connected
    assert known(world).last_seen.date() == START.date()
    world.hubs.identities.clear()
    assert deliver(world, schema("DeviceDeleted", DEVICE)) == ""
    assert known(world).block.value == "revoked"


@SCHEMAS
def test_what_is_not_ours_is_acknowledged_and_counted(
    world: Fakes,
    schema: Schema,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="birthcert")
    assert deliver(world, schema("DeviceTelemetry", {})) == ""
    assert json.loads(caplog.records[-1].getMessage())["event"] == "hub_event_ignored"
    assert deliver(world, schema("DeviceCreated", {**DEVICE, "deviceId": "dev-9"})) == ""
    assert json.loads(caplog.records[-1].getMessage())["outcome"] == "UnknownDevice"
    assert deliver(world, schema("DeviceCreated", {**DEVICE, "hubName": "hub-x"})) == ""
    assert json.loads(caplog.records[-1].getMessage())["outcome"] == "UnknownHub"


@SCHEMAS
def test_an_event_that_failed_is_delivered_again(world: Fakes, schema: Schema) -> None:
    world.calls.fail("hubs.identity", lambda: Unavailable("down", retry_after=5))
    with pytest.raises(Unavailable):
        deliver(world, schema("DeviceCreated", DEVICE))
    assert deliver(world, schema("DeviceCreated", DEVICE)) == ""


@SCHEMAS
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("DeviceCreated", {}),
        ("DeviceCreated", None),
        ("DeviceCreated", []),
        ("DeviceCreated", {"hubName": "hub-a", "deviceId": 7}),
        ("DeviceConnected", DEVICE),
    ],
)
def test_a_poison_event_is_kept_and_alarmed(
    world: Fakes,
    schema: Schema,
    kind: str,
    data: object,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = deliver(world, schema(kind, data))
    assert json.loads(kept)["data"] == data
    record = caplog.records[-1]
    assert record.levelname == "ERROR"
    assert json.loads(record.getMessage())["event"] == "hub_event_poison"
    with pytest.raises(Exception, match=r"names no hub|no sequence number"):
        again(world, kept)


def test_whatever_goes_wrong_the_event_is_kept_and_can_be_replayed(world: Fakes) -> None:
    world.calls.fail("hubs.identity", lambda: KeyError("a mistake of ours"))
    kept = deliver(world, in_event_grids_own_schema("DeviceCreated", DEVICE))
    assert known(world).hub == ""
    again(world, kept)
    assert known(world).hub == "hub-a"


def test_a_replayed_event_has_its_own_time(world: Fakes) -> None:
    deliver(world, in_event_grids_own_schema("DeviceCreated", DEVICE))
    world.calls.fail("ledger.load", lambda: KeyError("a mistake of ours"))
    kept = deliver(world, as_cloud_event("DeviceConnected", CONNECTION))
    world.clock.forward(days=3)
    again(world, kept)
    assert known(world).last_seen.isoformat() == "2026-03-02T09:00:00.438399+00:00"


def test_an_event_without_its_time_is_kept_too(world: Fakes) -> None:
    kept = deliver(world, as_cloud_event("DeviceDeleted", DEVICE, None))
    with pytest.raises(Exception, match="has no time"):
        again(world, kept)


def test_of_an_event_that_no_queue_holds_its_name_is_kept(world: Fakes) -> None:
    kept = deliver(world, as_cloud_event("DeviceCreated", {"deviceId": 7, "twin": "x" * 100_000}))
    assert len(kept) < 48 * 1024
    assert json.loads(kept)["id"] == "event-1"
