"""How much is left of certificates, in steps that an operator can act on."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from shared.core.profile import Label

# At most so many days are left; `over` has ended, `more` has more than a year.
type DaysLeft = Literal["over", "1", "3", "7", "14", "30", "60", "90", "180", "365", "more"]
STEPS: Final[tuple[DaysLeft, ...]] = get_args(DaysLeft.__value__)

# How many certificates there are, by label and by what is left of them.
type Counts = Mapping[Label, Mapping[DaysLeft, int]]


def days_left(not_after: datetime, now: datetime) -> DaysLeft:
    left = not_after - now
    if left < timedelta():
        return "over"
    return next((step for step in STEPS[1:-1] if left <= timedelta(days=int(step))), "more")
