"""A rate that all instances of the app keep together, by the time of the next free turn."""

from datetime import datetime, timedelta


def reserve(free: datetime | None, turns: int, per_minute: int, now: datetime) -> tuple[datetime, datetime]:
    """When the first of so many turns is, and when the one after the last: the generic cell rate algorithm.

    Turns that nobody has taken are not saved up.
    """
    first = max(now, free) if free else now
    return first, first + timedelta(minutes=turns / per_minute)
