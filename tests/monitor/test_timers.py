"""Every timer that fails is told of: by `silence` or by `timers-late`, which knows the schedules of all others."""

import re

from shared.telemetry import names
from tests.infra.test_resources import bindings
from tests.monitor.published import queries

SILENCE = "sweep"
LATE = queries()["alerts/timers-late"]
PATIENCE = dict(re.findall(r'^    "(\w+)", (\d+), (?:true|false),?$', LATE, re.MULTILINE))


def schedules() -> dict[str, str]:
    found = {name: one for name, every in bindings().items() for one in every if one["type"] == "timerTrigger"}
    return {name: str(one["schedule"]) for name, one in found.items()}


def minutes(schedule: str) -> int:
    """Between two turns, of the forms in use: each hour at some minutes, or every so many minutes."""
    asked = schedule.split()[1]
    return int(asked.removeprefix("*/")) if asked.startswith("*/") else 60 // len(asked.split(","))


def test_each_timer_is_missed_when_it_is_late() -> None:
    assert {*PATIENCE, SILENCE} == set(schedules())
    assert f'event == "{SILENCE}"' in queries()["alerts/silence"]


def test_a_timer_may_miss_a_turn_before_somebody_is_told() -> None:
    for name, schedule in schedules().items():
        if name != SILENCE:
            assert 3 * minutes(schedule) <= int(PATIENCE[name]) < 24 * 60, name


def test_each_timer_tells_of_itself_by_its_own_event_or_by_a_metric() -> None:
    told = set(re.findall(r'timer = "(\w+)"', LATE)) | (set(re.findall(r'"(\w+)"', LATE)) & set(names.EVENTS))
    assert set(PATIENCE) <= told
