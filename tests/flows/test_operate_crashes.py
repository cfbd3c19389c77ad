"""Whatever fails at whichever call: who sends the same wish again gets it fulfilled, and gets it once."""

from collections.abc import Awaitable, Callable

import pytest

from shared.core.errors import Refusal, Unavailable
from shared.core.fleet import Block
from shared.core.identity import DeviceId
from shared.core.ops import Command
from shared.core.revocation import Reason
from shared.flows.operate import REPLAY_LEASE
from shared.flows.ports.ledger import StaleVersionError
from tests.fakes.calls import Crash, Moment
from tests.fakes.ops import OpsWorld

pytestmark = pytest.mark.anyio

DEV = DeviceId("dev-1")
WISH = Command("k1", "Zoë", "lost", Reason.KEY_COMPROMISE, limit=2)
TRIES = 6

type Ask = Callable[[OpsWorld], Awaitable[object]]
type Error = Callable[[], BaseException]


def down() -> Refusal:
    return Unavailable("down", retry_after=1)


async def world() -> OpsWorld:
    made = OpsWorld()
    await made.born("dev-1", "0a")
    made.poison.messages["saga"] = ["a", "b", "c", "d", "e"]
    made.calls.made.clear()
    return made


async def insist(ops: OpsWorld, ask: Ask) -> object:
    """As an operator's script does: again, with the same key, while there is no answer."""
    for _ in range(TRIES):
        try:
            return await ask(ops)
        except (Refusal, Crash):
            ops.clock.forward(seconds=REPLAY_LEASE.total_seconds())
    raise AssertionError("the wish is never fulfilled")


async def every_fault(ask: Ask, check: Callable[[OpsWorld, object], None]) -> None:
    quiet = await world()
    check(quiet, await ask(quiet))
    calls = len(quiet.calls.made)
    assert calls
    errors: tuple[Error, ...] = (down, Crash)
    moments: tuple[Moment, ...] = ("before", "after")
    for number in range(calls):
        for error in errors:
            for moment in moments:
                ops = await world()
                ops.calls.fail_at(number, error, moment=moment)
                check(ops, await insist(ops, ask))


async def test_a_block_is_made_once() -> None:
    async def ask(ops: OpsWorld) -> object:
        return (await ops.operate.block(DEV, "hold", WISH)).saga.id

    seen = set()

    def check(ops: OpsWorld, ident: object) -> None:
        seen.add(ident)
        known = ops.ledger.read(DEV)
        assert known.device is not None
        assert known.device.block is Block.HOLD
        assert known.saga is not None
        assert known.saga.id == ident
        assert [one.kind for one in known.outbox] == ["blocked"]
        assert known.saga.next is None or ops.work.of("saga") or ops.ledger.hints
        assert len(ops.ledger.rows["dev-1"]) == 4  # type: ignore[index] # device, certificate, saga, event

    await every_fault(ask, check)
    assert len(seen) == 1


async def test_a_device_is_asked_to_renew_and_told_of_once() -> None:
    async def ask(ops: OpsWorld) -> object:
        return await ops.operate.renew(DEV, WISH)

    def check(ops: OpsWorld, _: object) -> None:
        assert {(one.device, one.serial) for one in ops.work.of("nudge")} == {(DEV, "0a")}
        assert len(ops.ledger.read(DEV).outbox) == 1

    await every_fault(ask, check)


async def test_no_poison_message_is_lost_and_none_goes_back_for_a_wish_that_was_answered() -> None:
    async def ask(ops: OpsWorld) -> object:
        return await ops.operate.replay("saga", WISH)

    def check(ops: OpsWorld, moved: object) -> None:
        back = [message for _, message in ops.poison.replayed]
        assert [*back, *ops.poison.messages["saga"]] == ["a", "b", "c", "d", "e"]
        assert moved == 2
        assert len(back) in (2, 4)  # four: the answer of the first try was lost with its process

    await every_fault(ask, check)


async def test_once_answered_a_replay_is_not_repeated_by_any_fault() -> None:
    ops = await world()
    assert await ops.operate.replay("saga", WISH) == 2
    for error in (down, Crash, StaleVersionError):
        ops.calls.fail("poison.replay", error)
        assert await ops.operate.replay("saga", WISH) == 2
    assert len(ops.poison.replayed) == 2
