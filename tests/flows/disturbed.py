"""A story told once for each call that it makes: there something fails, before the call's work is done or after it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from shared.core.errors import Again, OutcomeUnknown, Refusal, Unavailable
from shared.core.profile import GroupEnrollment, IndividualEnrollment
from tests.fakes.calls import Calls, Crash, Moment
from tests.fakes.world import Fakes, fakes
from tests.flows.rotating import DAY, HOUR, Live

type Failure = Literal["dies", "is down"]

FAILURES: tuple[Failure, ...] = ("dies", "is down")
MOMENTS: tuple[Moment, ...] = ("before", "after")


@dataclass(frozen=True)
class Story:
    """`deed` is what fails, after what is `prepared`. Who wanted it wants it again until it is done."""

    prepared: Callable[[Fakes], Awaitable[Live]]
    deed: Callable[[Live], Awaitable[object]]
    individual: bool = False
    deleted_devices: Literal["ignore", "revoke"] = "ignore"

    async def begun(self) -> Live:
        dps = IndividualEnrollment() if self.individual else GroupEnrollment("birthcert")
        world = fakes(dps=dps, deleted_devices=self.deleted_devices, daily_limit=100)
        world.source.calls = Calls()  # the chain is refreshed in the background, where a fault would hit nobody
        there = await self.prepared(world)
        world.restart()
        world.calls.made.clear()
        return there

    async def disturbed(self, moment: Moment, failure: Failure) -> AsyncIterator[Live]:
        """The device as each failure has left it."""
        quiet = await self.begun()
        await self.deed(quiet)
        calls = list(quiet.world.calls.made)
        assert calls
        for number in range(len(calls)):
            there = await self.begun()
            error = Crash if failure == "dies" else partial(_down, there.world.calls)
            there.world.calls.fail_at(number, error, moment=moment)
            with contextlib.suppress(Crash, Refusal):
                await self.deed(there)
            there.world.restart()
            yield there

    async def again(self, there: Live) -> None:
        """By now whatever failed works again."""
        for _ in range(9):
            try:
                await self.deed(there)
            except Again as refusal:
                await asyncio.sleep(refusal.retry_after)
            else:
                return
        raise AssertionError("it is never done")


def _down(calls: Calls) -> Refusal:
    """DigiCert ONE is "unavailable" only when it surely did nothing."""
    unknown = calls.made[-1] == "upstream.issue"
    return OutcomeUnknown("no answer", retry_after=1) if unknown else Unavailable("down", retry_after=1)


async def work_off(there: Live) -> None:
    """Days pass, and all that the queues hold is done."""
    for seconds in (20, 60, HOUR, DAY, DAY):
        await there.settle(seconds)
        for message in there.world.work.take("saga"):
            await there.world.revoke.advance(message.device)
        assert (await there.world.application().sweep.run()).failures == ()
