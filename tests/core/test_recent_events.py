"""Which events of a device stay to be looked at, after they were published."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.core.fleet import MOST_RECENT, Change, Device, RecentEvent, Snapshot, recent
from shared.core.identity import DeviceId
from shared.core.lifecycle import LifecycleEvent, event
from tests.fakes.clock import START

DEV = DeviceId("dev-1")
NEW = Device(DEV, "devices", START)


def happened(about: str, minutes: int = 0, **data: str) -> LifecycleEvent:
    return event("issued", DEV, START + timedelta(minutes=minutes), about, **data)


def test_a_change_puts_its_events_at_the_end() -> None:
    before = Snapshot(NEW, recent=(RecentEvent("issued-a", "issued", START, "0a"),))
    change = Change(NEW, events=(happened("b", 1, serial="0b", hub="hub-a"), happened("c", 2)))
    assert recent(before, change) == (
        *before.recent,
        RecentEvent("issued-b", "issued", START + timedelta(minutes=1), "0b"),
        RecentEvent("issued-c", "issued", START + timedelta(minutes=2)),
    )


def test_a_change_without_events_leaves_them_as_they_are_also_when_it_publishes_some() -> None:
    before = Snapshot(NEW, outbox=(happened("a"),), recent=(RecentEvent("issued-a", "issued", START),))
    assert recent(before, Change(NEW, published=("issued-a",))) == before.recent


def test_an_event_that_comes_again_has_happened_when_it_last_did() -> None:
    before = Snapshot(NEW, recent=tuple(RecentEvent(f"issued-{one}", "issued", START) for one in "ab"))
    found = recent(before, Change(NEW, events=(happened("a", 7),)))
    assert found == (before.recent[1], RecentEvent("issued-a", "issued", START + timedelta(minutes=7)))


@given(st.lists(st.lists(st.integers(0, 40), max_size=30, unique=True), max_size=8))
def test_the_last_ones_stay_whatever_came_before(changes: list[list[int]]) -> None:
    known = Snapshot(NEW)
    for numbers in changes:
        known = Snapshot(NEW, recent=recent(known, Change(NEW, events=tuple(happened(f"{one}") for one in numbers))))
    every = [f"issued-{one}" for numbers in changes for one in numbers]
    latest_first = list(dict.fromkeys(reversed(every)))
    assert [one.id for one in reversed(known.recent)] == latest_first[:MOST_RECENT]
