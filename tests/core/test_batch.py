"""How far a batch has come, who may change it, and how fast it goes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.core import batch as rules
from shared.core import batch_rounds, batch_views
from shared.core.batch import Batch, Cursor, Deed, State
from shared.core.errors import Conflict

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
UPLOADING = Batch("b-1", "devices", "csv", "uploading", "ada", "", created=NOW)
RUNNING = rules.after(rules.with_file(UPLOADING, 1_100, ("device_id", "csr"), 100), "start", NOW)

BECOMES: dict[Deed, dict[State, State]] = {
    "start": {"uploading": "running", "running": "running"},
    "pause": {"running": "paused", "paused": "paused"},
    "resume": {"paused": "running", "running": "running"},
    "cancel": {"uploading": "cancelled", "running": "cancelled", "paused": "cancelled", "cancelled": "cancelled"},
}
STATES: tuple[State, ...] = ("uploading", "running", "paused", "done", "cancelled", "failed")


def chunk(batch: Batch, row: int, offset: int, now: datetime) -> Batch:
    return rules.advanced(batch, Cursor(offset, row, batch.cursor.chunk + 1), {"issued": row - batch.cursor.row}, now)


@pytest.mark.parametrize("deed", BECOMES)
@pytest.mark.parametrize("state", STATES)
def test_what_may_be_done_with_a_batch_in_which_state(state: State, deed: Deed) -> None:
    batch = replace(UPLOADING, state=state)
    wanted = BECOMES[deed].get(state)
    if wanted is None:
        with pytest.raises(Conflict, match=f"the batch is {state}: there is nothing to {deed}"):
            rules.after(batch, deed, NOW)
    else:
        after = rules.after(batch, deed, NOW)
        assert after.state == wanted
        assert (after == batch) == (state == wanted)


def test_the_same_key_is_the_same_batch_and_no_other() -> None:
    assert rules.batch_id("k") == rules.batch_id("k") != rules.batch_id("k2")
    assert rules.digest(b"a") != rules.digest(b"b")


def test_the_files_of_a_batch_have_names_of_their_own() -> None:
    packed = replace(UPLOADING, format="zip", digest="ab" * 32)
    assert (UPLOADING.input, UPLOADING.source) == ("b-1/input.csv", "b-1/input.csv")
    assert (packed.input, packed.source) == (f"b-1/input-{'ab' * 8}.zip", "b-1/rows.jsonl")
    assert rules.result_name("b-1", 7) == "b-1/results/00000007.jsonl"


def test_a_chunk_is_held_for_a_time_and_let_go() -> None:
    held = rules.held(RUNNING, NOW)
    assert rules.wait(RUNNING, NOW) == 0
    assert rules.wait(held, NOW) == rules.HOLD / timedelta(seconds=1)
    assert rules.wait(held, NOW + rules.HOLD) == 0
    assert rules.wait(rules.let_go(held, NOW), NOW) == 0
    assert rules.wait(rules.let_go(held, NOW + timedelta(seconds=1.5)), NOW) == 2


def test_it_waits_longer_and_longer_an_hour_at_most() -> None:
    batch = RUNNING
    waits = []
    for _ in range(9):
        batch = rules.hindered(batch, "no", 10, NOW)
        waits.append(rules.wait(batch, NOW))
    assert waits == [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560]
    assert rules.delay(99, 10) == 3_600
    assert rules.delay(0, 0) == 1
    assert (chunk(batch, 1, 200, NOW).tries, chunk(batch, 1, 200, NOW).trouble) == (0, "")


@pytest.mark.parametrize(
    ("ours", "theirs", "state"),
    [
        ("running", "running", "running"),
        ("running", "paused", "paused"),
        ("running", "cancelled", "cancelled"),
        ("paused", "running", "paused"),
        ("paused", "cancelled", "cancelled"),
        ("done", "paused", "done"),
        ("failed", "cancelled", "failed"),
    ],
)
def test_what_we_did_and_what_an_operator_did_meanwhile(ours: State, theirs: State, state: State) -> None:
    held = rules.held(RUNNING, NOW)
    both = rules.joined(replace(held, state=theirs), replace(RUNNING, state=ours), held.held_until)
    assert both is not None
    assert both.state == state
    assert rules.joined(RUNNING, RUNNING, held.held_until) is None


def test_a_batch_is_forgotten_when_nothing_moves_it_after_its_time() -> None:
    late = NOW + rules.FORGOTTEN + MINUTE
    assert rules.is_forgotten(RUNNING, late)
    assert not rules.is_forgotten(RUNNING, NOW + rules.FORGOTTEN)
    assert not rules.is_forgotten(replace(RUNNING, state="paused"), late)
    assert not rules.is_forgotten(rules.held(RUNNING, NOW), late)
    assert not rules.is_forgotten(rules.hindered(RUNNING, "no", 3_600, NOW), late)


def test_rate_and_end_follow_from_what_was_done_since_it_last_began() -> None:
    running = rules.after(rules.with_file(UPLOADING, 1_000, (), 0), "start", NOW)
    assert (batch_views.rate(running), batch_views.expected_end(running, NOW)) == (0.0, None)
    half = chunk(running, 50, 500, NOW + 5 * MINUTE)
    assert (rules.share(half), batch_views.rate(half)) == (0.5, 10.0)
    assert batch_views.expected_end(half, NOW + 5 * MINUTE) == NOW + 10 * MINUTE
    assert batch_views.expected_end(half, NOW + 20 * MINUTE) == NOW + 20 * MINUTE
    later = NOW + timedelta(days=1)
    again = rules.after(rules.after(half, "pause", NOW + 6 * MINUTE), "resume", later)
    assert (batch_views.rate(again), batch_views.expected_end(again, later)) == (0.0, None)
    more = chunk(again, 60, 600, later + 2 * MINUTE)
    assert batch_views.rate(more) == 5.0
    assert batch_views.expected_end(more, later + 2 * MINUTE) == later + timedelta(minutes=10)
    assert batch_views.expected_end(replace(more, state="paused"), later) is None


def test_the_share_of_an_archive_is_that_of_its_rows() -> None:
    packed = replace(UPLOADING, format="zip")
    assert rules.share(packed) == 0.0
    assert rules.share(replace(packed, rows=8, cursor=Cursor(5_000, 2, 2))) == 0.25
    assert rules.share(replace(packed, state="done")) == 1.0


def test_at_the_end_it_is_done_or_begins_another_round_for_what_is_pending() -> None:
    whole = chunk(RUNNING, 10, 1_100, NOW)
    assert batch_rounds.ended(whole, NOW).state == "done"
    again = batch_rounds.ended(replace(whole, counts={"issued": 9, "pending": 1}), NOW)
    assert (again.state, again.round, again.chunks, again.cursor) == ("running", 2, 1, Cursor(offset=100))
    assert rules.wait(again, NOW) == 3_600
    assert (batch_views.rate(again), batch_views.expected_end(again, NOW)) == (0.0, None)
    assert batch_rounds.last_chunk(again) == 1
    assert batch_rounds.last_chunk(chunk(again, 5, 600, NOW)) == 1
    assert batch_rounds.last_chunk(whole) == 1
    assert batch_rounds.ended(replace(again, counts={"pending": 1}, cursor=Cursor(1_100, 10, 2)), NOW).round == 3


def test_what_is_pending_for_a_month_is_late() -> None:
    """The month counts from the end of the first round: a batch may have been paused for long before."""
    late = NOW + 2 * batch_rounds.APPROVAL
    assert not batch_rounds.is_late(RUNNING, late)
    pending = replace(chunk(RUNNING, 10, 1_100, late), counts={"pending": 1})
    again = batch_rounds.ended(pending, late)
    third = batch_rounds.ended(replace(again, counts={"pending": 1}), late + batch_rounds.APPROVAL)
    for batch in (again, third):
        assert not batch_rounds.is_late(batch, late + batch_rounds.APPROVAL)
        assert batch_rounds.is_late(batch, late + batch_rounds.APPROVAL + MINUTE)


def test_what_was_known_before_another_round_is_shown_until_its_end() -> None:
    whole = replace(chunk(RUNNING, 10, 1_100, NOW), counts={"issued": 7, "pending": 3})
    again = batch_rounds.ended(whole, NOW)
    half = rules.advanced(again, Cursor(600, 5, 2), {"issued": 5}, NOW + 60 * MINUTE)
    for batch in (again, half, replace(half, state="cancelled"), replace(half, state="paused")):
        assert rules.outcomes(batch) == {"issued": 7, "pending": 3}
        assert (rules.rows_done(batch), rules.share(batch)) == (7, 0.7)
    other = batch_rounds.ended(replace(half, cursor=Cursor(1_100, 10, 3), counts={"issued": 9, "pending": 1}), NOW)
    assert (other.round, rules.rows_done(other), rules.share(other)) == (3, 9, 0.9)
    done = batch_rounds.ended(replace(half, cursor=Cursor(1_100, 10, 3), counts={"issued": 10}), NOW)
    assert (rules.outcomes(done), rules.rows_done(done), rules.share(done)) == ({"issued": 10}, 10, 1.0)


def test_a_batch_is_new_until_somebody_has_been_at_it() -> None:
    later = NOW + MINUTE
    assert rules.is_new(RUNNING)
    for batch in (
        UPLOADING,
        rules.held(RUNNING, NOW),
        rules.let_go(rules.held(RUNNING, NOW), later),
        chunk(RUNNING, 1, 200, later),
        replace(RUNNING, state="paused"),
        rules.after(rules.after(RUNNING, "pause", NOW), "resume", later),
    ):
        assert not rules.is_new(batch)


def test_a_hold_is_one_until_it_is_over() -> None:
    held = rules.held(RUNNING, NOW)
    assert [rules.is_held(held, NOW + after) for after in (rules.HOLD - MINUTE, rules.HOLD)] == [True, False]
    assert not rules.is_held(RUNNING, NOW)


def test_what_came_in_its_way_is_told_to_all_and_its_cause_to_the_log() -> None:
    for batch in (
        rules.hindered(RUNNING, "no", 10, NOW, "x" * 999),
        rules.stopped(RUNNING, "paused", "no", NOW, "x" * 999),
    ):
        assert (batch.trouble, batch.cause) == ("no", "x" * 300)
        shown = batch_views.view(batch, NOW)
        assert shown["trouble"] == "no"
        assert "xx" not in str(shown)
        assert chunk(batch, 1, 200, NOW).cause == ""


def test_two_requests_are_the_same_when_label_form_and_content_are() -> None:
    assert rules.is_same(UPLOADING, replace(UPLOADING, caller="bob", comment="again", state="done"))
    for other in (
        replace(UPLOADING, label="x"),
        replace(UPLOADING, format="zip"),
        replace(UPLOADING, digest="ab"),
    ):
        assert not rules.is_same(UPLOADING, other)
