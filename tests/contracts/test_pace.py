"""The pace that all instances share: no two have the same turn, and none comes sooner than the rate allows."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from shared.adapters.batch_table import TablePace
from shared.core.errors import Unavailable
from shared.flows.ports.batches import Pace
from tests.fakes.batches import FakePace
from tests.fakes.calls import Calls

if TYPE_CHECKING:
    from tests.contracts.outside import Outside

pytestmark = pytest.mark.anyio

PER_MINUTE = 600
BETWEEN = timedelta(minutes=1) / PER_MINUTE


@dataclass
class Time:
    """Far in the future and later with each test: what earlier tests have reserved in the store is over."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def hours() -> Iterator[datetime]:
    return (datetime(2040, 1, 1, tzinfo=UTC) + timedelta(hours=number) for number in range(99))


@dataclass
class Subject:
    """`instances` of the app, which share the pace and nothing else."""

    time: Time
    instances: list[Pace]
    dead: Pace


@pytest.fixture
def subject(real: "Outside | None", hours: Iterator[datetime]) -> Subject:
    time = Time(next(hours))
    if real is not None:
        instances: list[Pace] = [TablePace(real.ledger.tables, PER_MINUTE, time) for _ in range(6)]
        return Subject(time, instances, TablePace(real.dead_ledger.tables, PER_MINUTE, time))
    calls = Calls()
    calls.fail("", lambda: Unavailable("no", retry_after=2), times=99)
    return Subject(time, [FakePace(time, per_minute=PER_MINUTE)] * 6, FakePace(time, calls, PER_MINUTE))


async def test_the_first_turn_is_now_and_the_others_follow_at_the_rate(subject: Subject) -> None:
    turns = await subject.instances[0].reserve(4)
    assert turns == tuple(subject.time.now + number * BETWEEN for number in range(4))
    (following,) = await subject.instances[1].reserve(1)
    assert following == turns[-1] + BETWEEN


async def test_many_instances_at_once_together_keep_the_rate(subject: Subject) -> None:
    taken = await asyncio.gather(*(one.reserve(3) for one in subject.instances for _ in range(3)))
    turns = sorted(turn for each in taken for turn in each)
    assert len(turns) == 54
    assert all(later - sooner >= BETWEEN for sooner, later in pairwise(turns))


async def test_turns_that_nobody_took_are_not_saved_up(subject: Subject) -> None:
    await subject.instances[0].reserve(4)
    subject.time.now += timedelta(minutes=5)
    assert await subject.instances[1].reserve(2) == (subject.time.now, subject.time.now + BETWEEN)


async def test_turns_that_are_not_soon_are_not_given(subject: Subject) -> None:
    while await subject.instances[0].reserve(PER_MINUTE // 4):
        pass
    assert await subject.instances[1].reserve(1) == ()
    subject.time.now += timedelta(minutes=1)
    assert len(await subject.instances[1].reserve(1)) == 1


async def test_an_instance_whose_clock_is_years_ahead_keeps_no_other_from_its_turn(subject: Subject) -> None:
    subject.time.now += timedelta(days=3_650)
    await subject.instances[0].reserve(4)
    subject.time.now -= timedelta(days=3_650)
    assert await subject.instances[1].reserve(1) == (subject.time.now,)


async def test_a_store_that_does_not_answer_is_unavailable(subject: Subject) -> None:
    with pytest.raises(Unavailable):
        await subject.dead.reserve(1)


async def test_in_a_crowd_who_does_not_get_through_is_told_to_come_again(subject: Subject) -> None:
    """And has no turn that is another's."""
    found = await asyncio.gather(*(one.reserve(1) for one in subject.instances * 5), return_exceptions=True)
    turns = [turn for each in found if not isinstance(each, BaseException) for turn in each]
    assert turns
    assert len(set(turns)) == len(turns)
    assert all(isinstance(each, tuple | Unavailable) for each in found)
