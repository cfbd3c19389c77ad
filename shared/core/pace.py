"""A rate that all instances of the app keep together, by the time of the next free turn."""

from datetime import datetime, timedelta
from typing import Final

# A turn is for somebody who can wait for it: a function's time ends.
SOON: Final = timedelta(seconds=60)
# No turns are given that far ahead, not even to clocks that go wrong by minutes. A time beyond was written by one that
# is quite wrong, and would keep everybody from their turns until then.
_NEVER: Final = timedelta(minutes=10)


def reserve(free: datetime | None, turns: int, per_minute: int, now: datetime) -> tuple[datetime, datetime] | None:
    """When the first of so many turns is, and when the one after the last: the generic cell rate algorithm.

    None when that is not soon. Turns that nobody has taken are not saved up. At most a minute's worth at a time.
    """
    first = max(now, free) if free and free - now <= _NEVER else now
    return (first, first + timedelta(minutes=turns / per_minute)) if first - now <= SOON else None
