"""A crash before or after any port call of a scan or a nudge: the device is asked all the same, and not forgotten."""

import contextlib

import pytest

from shared.core.identity import DeviceId
from tests.fakes.calls import Crash, Moment
from tests.fakes.world import Fakes, fakes
from tests.flows.test_nudges import LIFETIME, Renewing

DEVICE = DeviceId("dev-1")


async def prepared(world: Fakes) -> Renewing:
    renewing = Renewing(world)
    await renewing.born()
    world.clock.forward(days=LIFETIME * 0.8)
    return renewing


async def scan_and_play(renewing: Renewing) -> None:
    """What timer and queue do; a message whose handler died comes again."""
    await renewing.renew.scan()
    await renewing.play()


async def calls_of_an_undisturbed_run() -> int:
    renewing = await prepared(fakes())
    before = len(renewing.world.calls.made)
    await scan_and_play(renewing)
    return len(renewing.world.calls.made) - before


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_wherever_it_crashes_the_device_is_asked_and_not_forgotten(moment: Moment) -> None:
    for number in range(await calls_of_an_undisturbed_run()):
        world = fakes()
        renewing = await prepared(world)
        world.calls.fail_at(len(world.calls.made) + number, Crash, moment=moment)
        with contextlib.suppress(Crash):
            await scan_and_play(renewing)
        world.calls.faults.clear()
        world.clock.forward(seconds=3600)
        await scan_and_play(renewing)
        known = world.ledger.read(DEVICE)
        assert known.device is not None
        assert known.device.nudges >= 1, number
        assert renewing.desired()["renew"] == known.device.latest
        waiting = [on for (on, serial) in world.ledger.due if serial == known.device.latest]
        assert waiting, f"after a crash {moment} call {number} nothing asks again"
