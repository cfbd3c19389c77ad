"""What is left of a certificate, in steps."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.core.census import STEPS, days_left

NOW = datetime(2026, 3, 2, 9, 8, 7, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_certificate_has_ended_once_its_last_second_is_over() -> None:
    assert days_left(NOW, NOW) == "1"
    assert days_left(NOW - SECOND, NOW) == "over"


def test_each_step_holds_what_has_at_most_so_many_days_left() -> None:
    for step, following in itertools.pairwise(STEPS[1:]):
        end = NOW + timedelta(days=int(step))
        assert days_left(end, NOW) == step
        assert days_left(end + SECOND, NOW) == following


@given(st.timedeltas(timedelta(days=-900), timedelta(days=900)), st.timedeltas(timedelta(0), timedelta(days=900)))
def test_who_has_more_left_is_never_in_an_earlier_step(left: timedelta, more: timedelta) -> None:
    earlier, later = days_left(NOW + left, NOW), days_left(NOW + left + more, NOW)
    assert STEPS.index(earlier) <= STEPS.index(later)
