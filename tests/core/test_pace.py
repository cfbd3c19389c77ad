"""The pace: in no minute more turns than the rate, whoever asks when and for how many."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.core import pace

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

asked = st.lists(st.tuples(st.integers(1, 50), st.floats(0, 90)), min_size=1, max_size=40)


def turns(per_minute: int, asked: list[tuple[int, float]]) -> list[datetime]:
    """As the instances take them: so many each time, so many seconds later, and again when it was not soon."""
    free, now, taken = None, NOW, list[datetime]()
    for wanted, seconds in asked:
        many = min(wanted, per_minute)
        now += timedelta(seconds=seconds)
        while (reserved := pace.reserve(free, many, per_minute, now)) is None:
            now += MINUTE / 6
        first, free = reserved
        assert now <= first <= now + pace.SOON
        taken += [first + number * MINUTE / per_minute for number in range(many)]
    return taken


@given(st.integers(1, 6_000), asked)
def test_no_minute_has_more_turns_than_the_rate(per_minute: int, asked: list[tuple[int, float]]) -> None:
    taken = turns(per_minute, asked)
    assert taken == sorted(taken)
    rounding = timedelta(microseconds=len(taken) + 1)
    for begin, one in enumerate(taken):
        assert sum(later - one < MINUTE - rounding for later in taken[begin:]) <= per_minute


@given(st.integers(1, 6_000), st.integers(1, 50))
def test_who_never_pauses_gets_the_whole_rate(per_minute: int, many: int) -> None:
    taken = turns(per_minute, [(many, 0.0)] * 20)
    assert abs((taken[-1] - taken[0]) - (len(taken) - 1) * MINUTE / per_minute) < timedelta(milliseconds=1)


def test_turns_that_nobody_took_are_not_saved_up() -> None:
    assert pace.reserve(None, 10, 60, NOW) == (NOW, NOW + timedelta(seconds=10))
    later = NOW + timedelta(hours=1)
    assert pace.reserve(NOW + timedelta(seconds=10), 1, 60, later) == (later, later + timedelta(seconds=1))


def test_what_is_not_soon_is_not_given() -> None:
    assert pace.reserve(NOW + pace.SOON, 1, 60, NOW) is not None
    assert pace.reserve(NOW + pace.SOON + timedelta(seconds=1), 1, 60, NOW) is None
    assert pace.reserve(NOW + timedelta(minutes=10), 1, 60, NOW) is None


def test_a_clock_that_was_years_ahead_keeps_nobody_from_his_turn() -> None:
    assert pace.reserve(NOW + timedelta(days=5_000), 1, 60, NOW) == (NOW, NOW + timedelta(seconds=1))
