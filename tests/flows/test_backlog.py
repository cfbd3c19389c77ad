"""What is waiting, and for how long."""

from datetime import timedelta

from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from shared.core.revocation import Reason
from shared.flows.backlog import Backlog
from shared.flows.survey import Survey
from tests.fakes.world import Fakes


def backlog(world: Fakes) -> Backlog:
    survey = Survey(world.ledger, world.fleet, world.hints, world.clock)
    return Backlog(world.queues, world.poison, survey, world.clock)


async def test_where_nothing_waits_all_is_zero(world: Fakes) -> None:
    waiting = await backlog(world).look()
    assert (waiting.ages, waiting.poison, waiting.saga_age) == (
        {"settle": 0.0, "saga": 0.0},
        {"settle": 0, "saga": 0},
        0.0,
    )


async def test_messages_and_poison_are_told_by_queue(world: Fakes) -> None:
    world.queues.waiting["saga"] = 17.5
    world.poison.messages["settle"] = ["{}", "{}"]
    waiting = await backlog(world).look()
    assert waiting.ages["saga"] == 17.5
    assert waiting.poison["settle"] == 2


async def test_the_oldest_saga_that_has_not_ended_tells_the_age(world: Fakes) -> None:
    for name in ("dev-1", "dev-2"):
        await world.birth(world.device(name))
        world.calls.fail("enrollments.block", lambda: Unavailable("no", retry_after=2), times=9)
        await world.revoke.begin(
            DeviceId(name), "revoke", Reason.KEY_COMPROMISE, caller="me", comment="", saga_id=f"of-{name}"
        )
        world.clock.moved += timedelta(minutes=20)
    assert (await backlog(world).look()).saga_age == timedelta(minutes=40).total_seconds()
