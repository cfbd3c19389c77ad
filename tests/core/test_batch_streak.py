"""A CA that refuses row after row stops a batch, whatever the size of its chunks, and no row is used up by that."""

from datetime import UTC, datetime

import pytest

from shared.core import batch as rules
from shared.core import batch_streak
from shared.core.batch import Batch, Cursor, RowOutcome, Streak

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BATCH = rules.after(Batch("b-1", "devices", "jsonl", "uploading", "ada", "", created=NOW), "start", NOW)
NO, YES = True, False  # what DigiCert ONE has said to a row


def chunk(batch: Batch, *refused: bool) -> Batch:
    """The batch after a chunk of such rows, of a hundred bytes each."""
    streak = batch_streak.after(batch, refused)
    if streak and batch_streak.is_too_long(batch, streak):
        return batch_streak.stopped(batch, streak, "no", NOW)
    at = batch.cursor
    to = Cursor(at.offset + 100 * len(refused), at.row + len(refused), at.chunk + 1)
    counts: dict[RowOutcome, int] = {"refused": sum(refused), "issued": len(refused) - sum(refused)}
    return batch_streak.noted(rules.advanced(batch, to, counts, NOW), streak)


def test_rows_that_are_refused_here_and_there_stop_nothing() -> None:
    batch = BATCH
    for refused in ((NO, NO, NO, NO, YES), (YES, NO, NO, NO, NO), (YES,), (NO, NO), (), (NO, NO, YES), (NO,)):
        batch = chunk(batch, *refused)
        assert batch.state == "running"
    assert (batch.cursor.row, batch.streak) == (17, Streak(1, Cursor(1_600, 16, 7), {**batch.counts, "refused": 12}))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 60])
def test_five_in_a_row_stop_it_in_chunks_of_any_size_and_are_done_again(size: int) -> None:
    before = chunk(BATCH, *[YES] * size)
    batch, chunks = before, 0
    while batch.state == "running":
        batch, chunks = chunk(batch, *[NO] * size), chunks + 1
    assert chunks == -(-5 // size)
    assert (batch.state, batch.cursor, batch.counts) == ("paused", before.cursor, before.counts)
    assert batch.trouble == "the CA refuses every row: no; resume the batch when that is mended"
    resumed = chunk(rules.after(batch, "resume", NOW), *[YES] * size)
    assert (resumed.counts["issued"], resumed.stops) == (2 * size, 0)


def test_a_key_that_expires_at_the_end_of_a_chunk_costs_that_chunk_s_rows_nothing() -> None:
    batch = chunk(chunk(BATCH, YES, YES, NO, NO), *[NO] * 4)
    assert (batch.state, batch.cursor, batch.counts) == ("paused", Cursor(), {})


def test_rows_that_never_got_to_the_ca_neither_end_a_streak_nor_make_it_longer() -> None:
    batch = chunk(chunk(BATCH, NO, NO, NO, NO))
    assert batch.streak is not None
    assert (batch.state, batch.streak.rows, batch.cursor.chunk) == ("running", 4, 3)
    assert chunk(batch, NO).state == "paused"


def test_who_resumes_it_twice_and_is_refused_again_has_these_rows_refused_and_no_more() -> None:
    batch = BATCH
    for text in ("is mended", "resumed once more, these rows are refused"):
        batch = chunk(batch, *[NO] * 6)
        assert batch.state == "paused"
        assert batch.trouble.endswith(text)
        batch = rules.after(batch, "resume", NOW)
    batch = chunk(batch, *[NO] * 6)
    assert (batch.state, batch.counts["refused"], batch.stops, batch.streak) == ("running", 6, 0, None)
    assert chunk(batch, *[NO] * 6).state == "paused"
