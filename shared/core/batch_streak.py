"""When DigiCert ONE refuses row after row, it is not the rows: a batch must not use up its file for nothing."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from shared.core import batch as rules
from shared.core.batch import Batch, Streak

# So many in a row are hardly chance.
_TOO_MANY: Final = 5
# So often an operator is asked to look. Who resumes the batch once more wants these rows refused.
_STOPS: Final = 2


def after(batch: Batch, refused: Sequence[bool]) -> Streak | None:
    """The streak after a chunk, of whose rows `refused` are those that got to DigiCert ONE, in their order."""
    last = sum(itertools.takewhile(bool, reversed(refused)))
    if batch.streak and last == len(refused):
        return replace(batch.streak, rows=batch.streak.rows + last)
    return Streak(last, batch.cursor, batch.counts) if last else None


def is_too_long(batch: Batch, streak: Streak | None) -> bool:
    """Whether the batch must stop, in the place of writing down what has come of the chunk."""
    return streak is not None and streak.rows >= _TOO_MANY and batch.stops < _STOPS


def stopped(batch: Batch, streak: Streak, reason: str, now: datetime) -> Batch:
    """The batch that waits for an operator, and will then begin again with the first row of the streak."""
    again = "" if batch.stops + 1 < _STOPS else "; resumed once more, these rows are refused"
    text = f"the CA refuses every row: {reason}; resume the batch when that is mended{again}"
    paused = rules.stopped(batch, "paused", text, now)
    return replace(paused, cursor=streak.cursor, counts=streak.counts, streak=None, stops=batch.stops + 1)


def noted(batch: Batch, streak: Streak | None) -> Batch:
    """The batch after a chunk that was written down. Once more refused rows that were let through are forgotten."""
    if streak is None or streak.rows >= _TOO_MANY:
        return replace(batch, streak=None, stops=0)
    return replace(batch, streak=streak)
