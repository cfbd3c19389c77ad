"""What operators do: each wish is done once, however often it is sent, and by how many at once."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.errors import Conflict, NotFound, Refusal, Unavailable
from shared.core.fleet import Block, Device
from shared.core.identity import DeviceId
from shared.core.ops import Command, request_id
from shared.core.revocation import Reason
from shared.flows.operate import REPLAY_LEASE, REPLAY_SECONDS, Renewal
from shared.flows.ports.index import Due
from shared.flows.ports.ledger import StaleVersionError
from tests.fakes.calls import Crash
from tests.fakes.ops import OpsWorld, a_certificate

pytestmark = pytest.mark.anyio

DEV = DeviceId("dev-1")
LOST = Command("k1", "Zoë (function key)", "lost at sea", Reason.KEY_COMPROMISE)


@pytest.fixture
def ops() -> OpsWorld:
    return OpsWorld()


def down() -> Refusal:
    return Unavailable("no", retry_after=2)


async def test_a_device_is_put_on_hold_and_who_wanted_it_is_kept(ops: OpsWorld) -> None:
    await ops.born()
    done = await ops.operate.block(DEV, "hold", LOST)
    assert done.saga.next is None
    assert (done.saga.caller, done.saga.comment, done.saga.reason) == (LOST.caller, LOST.comment, LOST.why)
    known = ops.ledger.read(DEV)
    assert known.device is not None
    assert known.device.block is Block.HOLD
    assert known.outbox[0].data["caller"] == LOST.caller
    assert ops.doors.blocked == {"dev-1"}


async def test_a_name_in_other_letters_means_the_same_device_in_its_own_spelling(ops: OpsWorld) -> None:
    await ops.born("Dev-1")
    first = await ops.operate.block(DeviceId("DEV-1"), "hold", LOST)
    again = await ops.operate.block(DeviceId("dev-1"), "hold", LOST)
    assert first.device_id == again.device_id == "Dev-1"
    assert first.saga.id == again.saga.id


async def test_the_same_key_and_body_lead_to_the_same_saga_also_after_a_later_one(ops: OpsWorld) -> None:
    await ops.born()
    held = await ops.operate.block(DEV, "hold", LOST)
    restored = await ops.operate.block(DEV, "restore", replace(LOST, key="k2"))
    assert await ops.operate.block(DEV, "hold", LOST) == held
    assert await ops.operate.block(DEV, "restore", replace(LOST, key="k2")) == restored
    known = ops.ledger.read(DEV)
    assert known.device is not None
    assert known.device.block is Block.NONE


@pytest.mark.parametrize("change", [{"why": Reason.SUPERSEDED}, {"comment": "found again"}])
async def test_the_same_key_with_another_body_is_refused(ops: OpsWorld, change: dict[str, object]) -> None:
    await ops.born()
    await ops.operate.block(DEV, "hold", LOST)
    with pytest.raises(Conflict, match="Idempotency-Key"):
        await ops.operate.block(DEV, "hold", replace(LOST, **change))  # type: ignore[arg-type]


async def test_the_same_key_for_another_deed_is_refused_before_anything_is_done(ops: OpsWorld) -> None:
    await ops.born("dev-1", "0a")
    await ops.operate.renew(DEV, LOST)
    with pytest.raises(Conflict, match="Idempotency-Key"):
        await ops.operate.block(DEV, "decommission", LOST)
    known = ops.ledger.read(DEV)
    assert known.device is not None
    assert known.device.block is Block.NONE


async def test_a_key_belongs_to_one_device(ops: OpsWorld) -> None:
    await ops.born("dev-1")
    await ops.born("dev-2")
    first = await ops.operate.block(DEV, "hold", LOST)
    second = await ops.operate.block(DeviceId("dev-2"), "hold", replace(LOST, comment="another"))
    assert first.saga.id != second.saga.id


async def test_a_colleague_may_send_the_same_again(ops: OpsWorld) -> None:
    await ops.born()
    first = await ops.operate.block(DEV, "hold", LOST)
    assert await ops.operate.block(DEV, "hold", replace(LOST, caller="Max")) == first


async def test_many_at_once_begin_one_saga(ops: OpsWorld) -> None:
    await ops.born()
    found = await asyncio.gather(*(ops.operate.block(DEV, "revoke", LOST) for _ in range(4)))
    assert {one.saga.id for one in found} == {request_id("device/dev-1", "k1")}
    blocked = [one for one in ops.ledger.read(DEV).outbox if one.kind == "blocked"]
    assert len(blocked) == 1


async def test_what_the_state_forbids_is_refused(ops: OpsWorld) -> None:
    await ops.born()
    with pytest.raises(Conflict, match="not on hold"):
        await ops.operate.block(DEV, "restore", LOST)


async def test_an_unknown_device_leaves_no_trace(ops: OpsWorld) -> None:
    with pytest.raises(NotFound):
        await ops.operate.block(DEV, "hold", LOST)
    with pytest.raises(NotFound):
        await ops.operate.renew(DEV, LOST)
    assert not ops.wishes.rows


async def test_while_a_system_is_down_the_saga_runs_on(ops: OpsWorld) -> None:
    await ops.born()
    ops.calls.fail("enrollments.block", down)
    begun = await ops.operate.block(DEV, "hold", LOST)
    assert begun.saga.next is not None
    assert [one.device for one in ops.work.of("saga")] == [DEV]
    assert (await ops.operate.block(DEV, "hold", LOST)).saga.next is None


async def test_a_device_is_asked_to_renew_whenever_it_was_asked_before(ops: OpsWorld) -> None:
    await ops.born("dev-1", "0a")
    await ops.change("dev-1", lambda device: replace(device, nudged_at=ops.clock() - timedelta(minutes=1), nudges=3))
    assert await ops.operate.renew(DEV, LOST) == Renewal(DEV, "0a", done=False)
    known = ops.ledger.read(DEV)
    assert known.device is not None
    assert (known.device.nudged_at, known.device.nudges) == (None, 3)
    (message,) = ops.work.of("nudge")
    assert (Due(message.device, message.serial), message.day, message.delay) == (Due(DEV, "0a"), ops.clock().date(), 0)
    (said,) = known.outbox
    assert said.kind == "nudged"
    assert said.data == {"serial": "0a", "reason": "keyCompromise", "caller": LOST.caller, "comment": "lost at sea"}
    assert [one.device for one in ops.work.of("publish")] == [DEV]


async def test_once_the_device_was_asked_the_same_key_asks_no_more(ops: OpsWorld) -> None:
    await ops.born("dev-1", "0a")
    await ops.operate.renew(DEV, LOST)
    ops.work.take("nudge")
    await ops.change("dev-1", lambda device: replace(device, nudged_at=ops.clock()))
    assert await ops.operate.renew(DEV, LOST) == Renewal(DEV, "0a", done=False)
    assert not ops.work.of("nudge")


async def test_once_the_device_has_renewed_the_same_key_says_so(ops: OpsWorld) -> None:
    await ops.born("dev-1", "0a")
    await ops.operate.renew(DEV, LOST)
    ops.work.take("nudge")
    await ops.born("dev-1", "0a", "0b")
    assert await ops.operate.renew(DEV, LOST) == Renewal(DEV, "0a", done=True)
    assert not ops.work.of("nudge")


async def test_a_request_to_renew_that_was_cut_short_is_made_up_for(ops: OpsWorld) -> None:
    await ops.born("dev-1", "0a")
    for name in ("ledger.commit", "work.nudge"):
        ops.calls.fail(name, down)
        with pytest.raises(Unavailable):
            await ops.operate.renew(DEV, LOST)
    ops.calls.fail("work.publish", down)
    await ops.operate.renew(DEV, LOST)
    assert len(ops.work.of("nudge")) == 1
    assert len(ops.ledger.read(DEV).outbox) == 1


async def test_a_renewal_that_happens_at_the_same_moment_is_seen(ops: OpsWorld) -> None:
    device = await ops.born("dev-1", "0a")

    def overtaken() -> BaseException:
        ops.ledger.put(DEV, replace(device, latest="0b"))
        return StaleVersionError()

    ops.calls.fail("ledger.commit", overtaken)
    assert await ops.operate.renew(DEV, LOST) == Renewal(DEV, "0a", done=True)


async def test_a_record_that_changes_all_the_time_is_left_for_later(ops: OpsWorld) -> None:
    await ops.born("dev-1", "0a")
    ops.calls.fail("ledger.commit", StaleVersionError, times=9)
    with pytest.raises(Unavailable, match="too fast"):
        await ops.operate.renew(DEV, LOST)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (lambda device: replace(device, block=Block.HOLD), "blocked"),
        (lambda device: replace(device, latest=""), "no certificate"),
        (lambda device: replace(device, latest="ended"), "expired"),
        (lambda device: replace(device, latest="revoked"), "revoked"),
    ],
)
async def test_a_nudge_that_would_be_wasted_is_refused(
    ops: OpsWorld, how: Callable[[Device], Device], why: str
) -> None:
    await ops.born("dev-1", "0a")
    ops.ledger.put(DEV, a_certificate("ended", end=ops.clock() - timedelta(seconds=1)))
    ops.ledger.put(DEV, replace(a_certificate("revoked"), status="revoked"))
    await ops.change("dev-1", how)
    with pytest.raises(Conflict, match=why):
        await ops.operate.renew(DEV, LOST)
    assert not ops.work.messages


AGAIN = Command("k9", "Zoë", limit=2)


async def test_poison_messages_go_back_no_more_than_were_asked_for(ops: OpsWorld) -> None:
    ops.poison.messages["saga"] = ["a", "b", "c"]
    assert await ops.operate.replay("saga", AGAIN) == 2
    assert ops.poison.replayed == [("saga", "a"), ("saga", "b")]
    assert await ops.operate.poisoned() == {"settle": 0, "saga": 1}


async def test_the_same_key_replays_once(ops: OpsWorld) -> None:
    ops.poison.messages["saga"] = ["a", "b", "c"]
    assert [await ops.operate.replay("saga", AGAIN) for _ in range(3)] == [2, 2, 2]
    assert len(ops.poison.replayed) == 2
    with pytest.raises(Conflict):
        await ops.operate.replay("saga", replace(AGAIN, limit=3))
    assert await ops.operate.replay("settle", AGAIN) == 0


async def test_while_a_replay_is_worked_on_others_wait(ops: OpsWorld) -> None:
    ops.poison.messages["saga"] = ["a", "b", "c"]
    outcomes = await asyncio.gather(*(ops.operate.replay("saga", AGAIN) for _ in range(4)), return_exceptions=True)
    waiting = [one for one in outcomes if isinstance(one, Unavailable)]
    assert len(waiting) == 3
    assert all(0 < one.retry_after <= REPLAY_LEASE.total_seconds() for one in waiting)
    assert len(ops.poison.replayed) == 2


async def test_a_replay_that_died_is_taken_up_when_its_lease_is_over(ops: OpsWorld) -> None:
    ops.poison.messages["saga"] = ["a", "b", "c"]
    ops.calls.fail("poison.replay", Crash)
    with pytest.raises(Crash):
        await ops.operate.replay("saga", AGAIN)
    with pytest.raises(Unavailable, match="worked on"):
        await ops.operate.replay("saga", AGAIN)
    ops.clock.forward(seconds=REPLAY_LEASE.total_seconds())
    outcomes = await asyncio.gather(*(ops.operate.replay("saga", AGAIN) for _ in range(3)), return_exceptions=True)
    assert outcomes.count(2) == 1
    assert len(ops.poison.replayed) == 2


async def test_a_replay_that_failed_can_be_asked_for_again_at_once(ops: OpsWorld) -> None:
    ops.poison.messages["saga"] = ["a", "b", "c"]
    for _ in range(2):
        ops.calls.fail("poison.replay", down)
        with pytest.raises(Unavailable, match="cut short"):
            await ops.operate.replay("saga", AGAIN)
    assert await ops.operate.replay("saga", AGAIN) == 2


async def test_a_replay_that_failed_with_all_of_storage_waits_for_its_lease(ops: OpsWorld) -> None:
    ops.poison.messages["saga"] = ["a"]
    ops.calls.fail("poison.replay", down)
    ops.calls.fail("wishes.change", down)
    with pytest.raises(Unavailable, match="cut short"):
        await ops.operate.replay("saga", AGAIN)
    with pytest.raises(Unavailable, match="worked on"):
        await ops.operate.replay("saga", AGAIN)


async def test_a_replay_that_takes_too_long_is_cut_short(ops: OpsWorld) -> None:
    ops.poison.seconds = REPLAY_SECONDS + 1
    with pytest.raises(Unavailable, match="cut short"):
        await ops.operate.replay("saga", AGAIN)


async def test_a_replay_that_was_taken_for_dead_still_tells_what_it_moved(ops: OpsWorld) -> None:
    ops.poison.messages["saga"] = ["a"]
    ops.calls.fail("wishes.change", StaleVersionError)
    assert await ops.operate.replay("saga", AGAIN) == 1


async def test_a_queue_that_is_not_ours_is_not_found(ops: OpsWorld) -> None:
    with pytest.raises(NotFound):
        await ops.operate.replay("nothing", AGAIN)
    assert not ops.wishes.rows
