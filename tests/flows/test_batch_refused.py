"""DigiCert ONE refuses row after row: the batch stops, an operator mends what is wrong, and no row is used up."""

from dataclasses import replace

import pytest

from shared.core.errors import Malformed, Refusal, UpstreamRefused
from tests.fakes.world import Fakes
from tests.flows.batching import BATCH, change, devices, lines, now, results, sent, work

pytestmark = pytest.mark.anyio

EXPIRED = UpstreamRefused("the CA does not accept our credentials", nothing_issued=True)
PROFILE_IS_OFF = Malformed("the CA does not accept this request under its enrollment profile", cause="400")
BROKEN = b"no json\n"


def refusing(world: Fakes, refusal: Refusal = EXPIRED, *, after: int = 0) -> None:
    """From that order on everything is refused."""
    number = 0

    async def count() -> None:
        nonlocal number
        number += 1
        if number == after:
            del world.calls.meanwhile["upstream.issue"]
            world.calls.fail("upstream.issue", lambda: refusal, times=10_000)

    if after:
        world.calls.meanwhile["upstream.issue"] = count
    else:
        world.calls.fail("upstream.issue", lambda: refusal, times=10_000)


async def mended(world: Fakes) -> None:
    world.calls.faults.clear()
    await change(world, "resume")
    await work(world)


async def test_a_ca_that_refuses_everything_stops_the_batch_and_an_operator_lets_it_go_on(world: Fakes) -> None:
    text = "the CA does not accept our credentials"
    world.calls.fail("upstream.issue", lambda: UpstreamRefused(text, nothing_issued=True), times=10)
    await sent(world, lines(*devices(20)))
    await work(world)
    after = await now(world)
    assert after.state == "paused"
    assert f"the CA refuses every row: {text}" in after.trouble
    await change(world, "resume")
    await work(world)
    assert {one["outcome"] for one in await results(world)} == {"issued"}


async def test_a_batch_that_stopped_by_itself_while_it_was_cancelled_is_cancelled(world: Fakes) -> None:
    world.calls.fail("upstream.issue", lambda: UpstreamRefused("no", nothing_issued=True), times=10)
    await sent(world, lines(*devices(10)))

    async def cancel() -> None:
        del world.calls.meanwhile["ledger.release"]
        await change(world, "cancel")

    world.calls.meanwhile["ledger.release"] = cancel
    await work(world)
    assert (await now(world)).state == "cancelled"


@pytest.mark.parametrize("refusal", [EXPIRED, PROFILE_IS_OFF], ids=["401", "400"])
@pytest.mark.parametrize("chunk_rows", [1, 3, 10, 60])
async def test_whatever_it_says_and_however_short_the_chunks_it_stops_before_the_file_is_used_up(
    world: Fakes, refusal: Refusal, chunk_rows: int
) -> None:
    world.batching = replace(world.batching, chunk_rows=chunk_rows)
    made = devices(30)
    refusing(world, refusal, after=13)
    await sent(world, BROKEN.join(lines(*made[begin : begin + 3]) for begin in range(0, 30, 3)))
    await work(world)
    stopped = await now(world)
    assert (stopped.state, stopped.counts.get("refused", 0)) == ("paused", stopped.cursor.row // 4)
    assert stopped.trouble == f"the CA refuses every row: {refusal.public}; resume the batch when that is mended"
    assert len(world.ca.issued) <= 13 + 16  # of those that were under way already
    await mended(world)
    found = await results(world)
    assert ((await now(world)).state, len(found)) == ("done", 39)
    assert [one["device_id"] for one in found if one["outcome"] == "issued"] == [one.name for one in made]
    assert len(world.ca.issued) == 30


async def test_requests_that_are_refused_whatever_is_mended_do_not_keep_the_rest_of_the_file(world: Fakes) -> None:
    made = devices(20)
    await sent(world, lines(*made))
    await world.batch_run.advance(BATCH)
    for _ in range(2):
        world.calls.fail("upstream.issue", lambda: PROFILE_IS_OFF, times=10)
        await work(world)
        assert (await now(world)).state == "paused"
        await change(world, "resume")
    world.calls.fail("upstream.issue", lambda: PROFILE_IS_OFF, times=10)
    await work(world)
    assert ((await now(world)).state, (await now(world)).counts["refused"]) == ("done", 10)


async def test_what_is_malformed_by_our_own_rules_is_none_of_the_ca_s_refusals(world: Fakes) -> None:
    await sent(world, b'{"device_id": "dev-1", "csr": "AAAA"}\n' * 12 + lines(*devices(2)))
    await work(world)
    assert ((await now(world)).state, (await now(world)).counts["refused"]) == ("done", 12)


async def test_what_was_issued_in_the_chunk_that_stopped_it_is_shown_when_it_is_cancelled(world: Fakes) -> None:
    refusing(world, after=4)
    await sent(world, lines(*devices(10)))
    await work(world)
    assert (await now(world)).state == "paused"
    assert not await results(world)
    await change(world, "cancel")
    found = await results(world)
    assert [one["device_id"] for one in found] == [f"dev-{number:03d}" for number in range(len(world.ca.issued))]
    assert {one["outcome"] for one in found} == {"issued"}
