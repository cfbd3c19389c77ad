"""DigiCert ONE wants an approval for a certificate: the batch waits for it, says so, and asks again until it ends."""

from datetime import timedelta

import pytest

from shared.core import batch_views
from tests.fakes.world import Fakes
from tests.flows.batching import BATCH, change, devices, lines, now, results, run, sent, work

pytestmark = pytest.mark.anyio


async def test_what_must_be_approved_is_asked_for_again_until_it_is(world: Fakes) -> None:
    world.upstream.behaves += ["pending"] * 3
    await sent(world, lines(*devices(3)))
    await world.batch_run.advance(BATCH)
    assert (await now(world)).counts["pending"] == 3
    world.upstream.approved = True
    await work(world)
    assert {one["outcome"] for one in await results(world)} == {"issued"}
    assert len(world.ca.issued) == 3


async def test_another_round_leaves_alone_what_has_ended(world: Fakes) -> None:
    """And the results of the round before can be read meanwhile."""
    world.upstream.behaves += ["refuse", "pending"]
    await sent(world, lines(*devices(25)))
    world.work.messages.clear()
    await world.batch_run.go_on(BATCH)
    assert ((await now(world)).round, (await now(world)).cursor.row) == (2, 0)
    before = await results(world)
    assert [one["outcome"] for one in before] == ["refused", "pending", *["issued"] * 23]
    orders, loads = world.upstream.orders, world.calls.count("ledger.load")
    world.upstream.approved = True
    await work(world)
    assert await results(world) == [before[0], (await results(world))[1], *before[2:]]
    assert (await now(world)).counts == {"issued": 24, "already issued": 0, "pending": 0, "refused": 1}
    assert world.upstream.orders == orders
    assert world.calls.count("ledger.load") - loads < 10


async def test_what_is_never_approved_is_refused_after_a_month(world: Fakes) -> None:
    world.upstream.behaves += ["pending"] * 2
    began = world.clock()
    found = await run(world, lines(*devices(3)))
    assert [one["outcome"] for one in found] == ["refused", "refused", "issued"]
    assert found[0]["reason"] == "not decided within 30 days: DigiCert ONE has not decided yet"
    assert (await now(world)).state == "done"
    assert timedelta(days=30) < world.clock() - began < timedelta(days=31)


async def test_a_batch_that_was_paused_for_long_has_its_whole_month_for_approvals(world: Fakes) -> None:
    world.upstream.behaves += ["pending"] * 2
    await sent(world, lines(*devices(3)))
    await change(world, "pause")
    world.work.messages.clear()
    world.clock.forward(days=31)
    await change(world, "resume")
    (message,) = world.work.take("batch")
    await world.batch_run.go_on(message.batch)
    assert [one["outcome"] for one in await results(world)] == ["pending", "pending", "issued"]
    world.upstream.approved = True
    await work(world)
    assert {one["outcome"] for one in await results(world)} == {"issued"}


async def test_while_it_waits_for_approvals_it_says_so_and_keeps_its_figures(world: Fakes) -> None:
    world.upstream.behaves += ["pending"]
    await sent(world, lines(*devices(12)))
    await world.batch_run.go_on(BATCH)
    shown = batch_views.view(await now(world), world.clock())
    assert (shown["rows"], shown["rows_done"], shown["share"]) == (12, 11, 0.9167)
    assert shown["outcomes"] == {"issued": 11, "already_issued": 0, "pending": 1, "refused": 0}
    assert "1 of 12 rows wait for DigiCert ONE; asked again at" in str(shown["trouble"])
