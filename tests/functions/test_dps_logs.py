"""A batch of DPS records: each registration is looked at, each refusal is kept, and what fails comes again."""

import asyncio
import json
from typing import Any

import pytest

from functions import dps_logs
from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from tests.core.test_dps_records import FAILED, RECORD
from tests.fakes.world import Fakes, fakes
from tests.functions.calling import handler


class EventHubEvent:
    """Stands for func.EventHubEvent."""

    def __init__(self, *records: object) -> None:
        self.body = json.dumps({"records": records}).encode()

    def get_body(self) -> bytes:
        return self.body


def received(world: Fakes, *events: Any) -> None:  # noqa: ANN401
    asyncio.run(handler(dps_logs.blueprint, world.application, "dps_logs")(list(events)))


def test_a_refusal_is_kept_with_the_device() -> None:
    world = fakes()
    asyncio.run(world.birth(world.device()))
    received(world, EventHubEvent(FAILED, RECORD, 7))
    device = world.ledger.read(DeviceId("dev-1")).device
    assert device is not None
    assert device.failure is not None
    assert device.failure.reason == "401002: CA certificate not found."


def test_a_batch_that_failed_is_delivered_again() -> None:
    world = fakes()
    world.calls.fail("ledger.load", lambda: Unavailable("down", retry_after=5))
    with pytest.raises(Unavailable):
        received(world, EventHubEvent(RECORD))
    received(world, EventHubEvent(RECORD))


def test_a_record_that_fails_keeps_no_other_waiting() -> None:
    world = fakes()
    asyncio.run(world.birth(world.device()))
    world.calls.fail("ledger.load", lambda: Unavailable("down", retry_after=5))
    with pytest.raises(Unavailable):
        received(world, EventHubEvent(RECORD), EventHubEvent(RECORD, FAILED))
    device = world.ledger.read(DeviceId("dev-1")).device
    assert device is not None
    assert device.failure is not None


def test_a_record_that_no_repetition_mends_is_left_with_an_alarm(caplog: pytest.LogCaptureFixture) -> None:
    world = fakes()
    asyncio.run(world.birth(world.device()))
    world.calls.fail("ledger.load", lambda: KeyError("a mistake of ours"))
    received(world, EventHubEvent(RECORD, FAILED))
    (alarm,) = [json.loads(one.getMessage()) for one in caplog.records if one.levelname == "ERROR"]
    assert (alarm["event"], alarm["device_id"]) == ("dps_record_poison", "dev-1")
    device = world.ledger.read(DeviceId("dev-1")).device
    assert device is not None
    assert device.failure is not None
