"""What keeps a row or a whole batch from going on: it is waited for, told, and no row is lost."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core import batch as rules
from shared.core.errors import Misconfigured, Throttled, Unavailable
from shared.core.fleet import Claim
from shared.core.fleet import Device as FleetDevice
from shared.core.policy import claim_key
from shared.flows.batch_chunk import BEGIN_WITHIN
from tests.fakes.devices import Device
from tests.fakes.world import PROFILE, Fakes, fakes
from tests.flows.batching import BATCH, change, devices, lines, now, results, run, sent, work

pytestmark = pytest.mark.anyio


def occupied(world: Fakes, device: Device) -> None:
    """Somebody has the device's claim for an hour, and never ends."""
    held = Claim(claim_key(world.profile, device.request(), ""), "open", world.clock() + timedelta(hours=1))
    world.ledger.put(device.id, FleetDevice(device.id, PROFILE.label, created=world.clock()))
    world.ledger.put(device.id, held)


async def test_an_outage_is_waited_for_and_no_row_is_lost(world: Fakes) -> None:
    world.calls.fail("upstream.issue", lambda: Throttled("slow down", retry_after=30), times=100)
    found = await run(world, lines(*devices(20)))
    assert {one["outcome"] for one in found} == {"issued"}
    assert len(world.ca.issued) == 20


@pytest.mark.parametrize(
    ("refusal", "text", "seconds"),
    [
        (Unavailable("DigiCert ONE does not answer", retry_after=7, cause="503"), "DigiCert ONE does not answer", 7),
        (Misconfigured("not set up", cause="503"), "not set up", 60),
    ],
)
async def test_while_it_waits_the_batch_says_for_what(
    world: Fakes, refusal: Exception, text: str, seconds: int
) -> None:
    world.calls.fail("upstream.issue", lambda: refusal, times=3)
    await sent(world, lines(*devices(3)))
    world.work.messages.clear()
    await world.batch_run.go_on(BATCH)
    after = await now(world)
    assert (after.state, after.trouble, after.cause, after.tries) == ("running", text, "503", 1)
    assert [message.delay for message in world.work.messages] == [seconds]
    await work(world)
    assert ((await now(world)).trouble, (await now(world)).tries) == ("", 0)


async def test_a_message_that_comes_early_waits_for_its_time(world: Fakes) -> None:
    world.calls.fail("upstream.issue", lambda: Unavailable("no", retry_after=50), times=3)
    await sent(world, lines(*devices(3)))
    await world.batch_run.go_on(BATCH)
    orders = world.upstream.orders
    world.work.messages.clear()
    await asyncio.sleep(20)
    await world.batch_run.go_on(BATCH)
    assert [message.delay for message in world.work.of("batch")] == [30]
    assert world.upstream.orders == orders


async def test_an_operator_who_resumes_does_not_wait(world: Fakes) -> None:
    world.calls.fail("upstream.issue", lambda: Unavailable("no", retry_after=3_000), times=3)
    await sent(world, lines(*devices(3)))
    await world.batch_run.go_on(BATCH)
    began = world.clock()
    await change(world, "pause")
    await change(world, "resume")
    await world.batch_run.go_on(BATCH)
    assert (await now(world)).state == "done"
    assert world.clock() - began < timedelta(seconds=30)


async def test_one_row_that_cannot_be_decided_does_not_hold_up_the_file_for_ever(world: Fakes) -> None:
    made = devices(3)
    await sent(world, lines(*made))
    occupied(world, made[1])
    while not (await now(world)).counts:
        await world.batch_run.advance(BATCH)
        await asyncio.sleep(rules.wait(await now(world), world.clock()))
    assert [one["outcome"] for one in await results(world)] == ["issued", "pending", "issued"]
    await work(world)
    assert [one["outcome"] for one in await results(world)] == ["issued"] * 3
    assert (await now(world)).round > 1


async def test_while_a_device_cannot_be_decided_its_second_row_waits_too(world: Fakes) -> None:
    first = Device("dev-x")
    occupied(world, first)
    await sent(world, lines(first, first.with_new_key(), Device("dev-1")))
    while not (await now(world)).counts:
        await world.batch_run.advance(BATCH)
        await asyncio.sleep(rules.wait(await now(world), world.clock()))
    assert [one["outcome"] for one in await results(world)] == ["pending", "pending", "issued"]
    await work(world)
    found = await results(world)
    assert [one["outcome"] for one in found] == ["issued", "refused", "issued"]


async def test_a_label_that_is_gone_stops_the_batch(world: Fakes) -> None:
    await sent(world, lines(*devices(2)))
    world.profiles = {"other": fakes().profile}
    world.default = "other"
    world.upstreams = {"other": world.upstreams[PROFILE.label]}
    world.restart()
    await work(world)
    assert ((await now(world)).state, (await now(world)).trouble) == ("paused", "there is no label devices any more")


async def test_the_daily_limit_of_a_device_refuses_its_row_and_no_other(world: Fakes) -> None:
    tired = Device("dev-x")
    for _ in range(world.profile.daily_limit):
        await world.birth(world.device("dev-x").with_new_key())
    found = await run(world, lines(Device("dev-1"), tired.with_new_key()))
    assert [one["outcome"] for one in found] == ["issued", "refused"]
    assert "limit" in found[1]["reason"]


async def test_when_turns_lie_far_apart_a_chunk_is_cut_off_and_goes_on_where_it_was(world: Fakes) -> None:
    """As with many batches at once: no function may run for ever."""
    world.pace.per_minute = 3
    world.restart()
    world.batch_run = replace(world.batch_run, chunk=replace(world.batch_run.chunk, at_once=2))
    await sent(world, lines(*devices(30)))
    world.work.messages.clear()
    began = world.clock()
    batch = await world.batch_run.advance(BATCH)
    assert batch is not None
    assert (batch.cursor.row, batch.tries, batch.trouble) == (0, 0, "")
    assert world.clock() - began < BEGIN_WITHIN + timedelta(minutes=2 / 3)
    await world.work.batch(BATCH)
    await work(world)
    assert {one["outcome"] for one in await results(world)} == {"issued"}
    assert world.upstream.orders == 30


async def test_while_others_have_all_turns_a_batch_waits_and_comes_to_no_harm(world: Fakes) -> None:
    world.pace.per_minute = 60
    world.restart()
    while await world.pace.reserve(30):
        pass
    await sent(world, lines(*devices(3)))
    began = world.clock()
    batch = await world.batch_run.advance(BATCH)
    assert batch is not None
    assert (batch.cursor.row, batch.tries, batch.trouble, world.clock()) == (0, 0, "", began)
    assert rules.wait(batch, began) == 5
    await work(world)
    assert {one["outcome"] for one in await results(world)} == {"issued"}
    assert world.upstream.orders == 3


async def test_a_mistake_of_our_own_is_told_and_waited_for_and_does_not_keep_the_batch(world: Fakes) -> None:
    await sent(world, lines(*devices(3)))
    (message,) = world.work.take("batch")
    world.calls.fail("files.read", lambda: ZeroDivisionError("ours"), times=2)
    for seconds in (60, 120):
        with pytest.raises(ZeroDivisionError):
            await world.batch_run.go_on(message.batch)
        after = await now(world)
        assert (after.state, after.trouble) == ("running", "a mistake of our own, see the log")
        assert rules.wait(after, world.clock()) == seconds
        world.clock.forward(seconds=30)
        await world.batch_run.go_on(message.batch, again=True)
        (message,) = world.work.take("batch")
        assert message.delay == seconds - 30
        world.clock.forward(seconds=message.delay)
    await world.batch_run.go_on(message.batch)
    assert ((await now(world)).state, (await now(world)).trouble) == ("done", "")


@pytest.mark.parametrize(
    "row", [b'{"device_id": "dev-x", "csr": "\\ud800"}', b'{"device_id": "\\udfff", "csr": "AAA"}']
)
async def test_half_of_a_character_in_a_row_is_refused_and_does_not_keep_the_batch(world: Fakes, row: bytes) -> None:
    first, second = devices(2)
    found = await run(world, lines(first) + row + b"\n" + lines(second))
    assert [one["outcome"] for one in found] == ["issued", "refused", "issued"]
    assert "not ASCII" in found[1]["reason"]
