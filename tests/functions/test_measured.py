"""What timers and queues measure, as metrics: gauges, what the sweep and the scans find, how nudges went."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from functions import checks, gauges, timers, work
from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from shared.core.revocation import Reason
from shared.telemetry import names
from tests.fakes.world import Fakes, fakes
from tests.functions.calling import Blueprint, Message, handler
from tests.monitor import recording


@pytest.fixture(autouse=True)
def recorded() -> Iterator[None]:
    recording.forget()
    yield
    recording.forget()


def measured(metric: names.Metric) -> list[tuple[dict[str, Any], Any]]:
    """Each time series, with its dimensions and the SDK's data point."""
    return [(dimensions, point) for name, dimensions, point in recording.points() if name == metric.name]


def tick(world: Fakes, blueprint: Blueprint, name: str) -> None:
    asyncio.run(handler(blueprint, world.application, name)(None))


def test_what_waits_is_measured_by_queue_and_what_does_not_is_zero() -> None:
    world = fakes()
    world.queues.waiting["saga"] = 17.5
    world.poison.messages["settle"] = ["{}", "{}"]
    tick(world, gauges.blueprint, "backlog")
    found = recording.points()
    values = {(name, *dimensions.values()): point.max for name, dimensions, point in found if hasattr(point, "max")}
    assert values == {
        (names.QUEUE_AGE.name, "saga"): 17.5,
        (names.QUEUE_AGE.name, "settle"): 0,
        (names.QUEUE_POISON.name, "saga"): 0,
        (names.QUEUE_POISON.name, "settle"): 2,
        (names.SAGA_AGE.name,): 0,
    }


def test_the_census_measures_every_step_and_those_without_a_certificate_too() -> None:
    """Else what was measured of a step before would stay the last that was said of it."""
    world = fakes()
    asyncio.run(world.birth(world.device()))
    tick(world, gauges.blueprint, "census")
    found = {of["days"]: point.max for of, point in measured(names.EXPIRING) if of["label"] == world.profile.label}
    assert set(found) == set(names.EXPIRING.dimensions["days"])
    assert sum(found.values()) == 1


def test_a_census_that_goes_on_measures_nothing_yet() -> None:
    world = fakes()
    tick(world, gauges.blueprint, "census")
    recording.forget()
    tick(world, gauges.blueprint, "census")
    assert measured(names.EXPIRING) == []


def test_what_cannot_go_on_is_measured_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    world = fakes()
    asyncio.run(world.birth(world.device()))
    world.calls.fail("enrollments.block", lambda: Unavailable("down", retry_after=5, cause="no route"), times=9)
    begin = world.revoke.begin(
        DeviceId("dev-1"), "revoke", Reason.KEY_COMPROMISE, caller="me", comment="", saga_id="saga-1"
    )
    asyncio.run(begin)
    world.clock.moved += timedelta(minutes=40)
    recording.forget()
    with caplog.at_level("INFO", logger="birthcert"):
        tick(world, timers.blueprint, "sweep")
        tick(world, gauges.blueprint, "backlog")
    points = {name: point.max for name, _, point in recording.points() if hasattr(point, "max")}
    assert points[names.STUCK.name] == 1
    assert points[names.SAGA_AGE.name] >= 40 * 60
    events = [json.loads(one.getMessage()) for one in caplog.records if one.name == "birthcert"]
    (stuck,) = [one for one in events if one["event"] == "stuck"]
    assert (stuck["device_id"], stuck["kind"]) == ("dev-1", "saga")


def test_what_nobody_foresaw_is_told_and_then_raised(caplog: pytest.LogCaptureFixture) -> None:
    """The alert on silent timers hears of the sweep all the same."""
    world = fakes()
    asyncio.run(world.birth(world.device()))
    world.calls.fail("announcements.publish", lambda: KeyError("Label"))
    with (
        caplog.at_level("INFO", logger="birthcert"),
        pytest.RaisesGroup(pytest.RaisesExc(KeyError, match="Label")),
    ):
        tick(world, timers.blueprint, "sweep")
    assert [point.max for _, point in measured(names.STUCK)] == [1]
    events = [json.loads(one.getMessage()) for one in caplog.records if one.name == "birthcert"]
    assert [one["event"] for one in events] == ["stuck", "sweep"]


def test_what_is_due_and_how_its_nudge_went_are_measured() -> None:
    world = fakes()
    born = asyncio.run(world.birth(world.device()))
    leaf = born.issued.certificate
    world.clock.moved = leaf.renewal_due(world.profile.renewal_point) - world.clock.start + timedelta(days=1)
    tick(world, timers.blueprint, "expiry_scan")
    assert [point.max for _, point in measured(names.DUE)] == [1]
    (due,) = world.work.of("nudge")
    assert due.day is not None
    nudge = handler(work.blueprint, world.application, "nudge")
    wanted = {"deviceId": due.device, "serial": due.serial, "day": due.day.isoformat()}
    asyncio.run(nudge(Message(json.dumps(wanted))))
    assert [(of, point.value) for of, point in measured(names.NUDGED)] == [({"outcome": "nudged", "urgency": "due"}, 1)]


def test_what_a_check_leaves_for_later_is_measured() -> None:
    tick(fakes(), checks.blueprint, "revocation_sync")
    assert [point.count for _, point in measured(names.SYNC_LEFT)] == [1]
