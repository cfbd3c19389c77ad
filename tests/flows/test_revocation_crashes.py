"""The process dies around any call of a saga, or any system refuses: nothing is forgotten, and it ends the same."""

import asyncio
import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from shared.core.errors import OutcomeUnknown, Refusal, Unavailable
from shared.core.fleet import Block, LedgerCertificate
from shared.core.identity import registration_key
from shared.core.profile import IndividualEnrollment
from shared.core.revocation import Verb
from tests.fakes.calls import Crash, Moment
from tests.fakes.revocation import DEVICE, RevocationWorld
from tests.fakes.world import PROFILE

pytestmark = pytest.mark.anyio

OUTSIDE = ("enrollments.", "hubs.set_enabled", "hubs.remove", "digicert.")


@dataclass(frozen=True)
class Story:
    """What is asked, after what, of a device of which kind."""

    verb: Verb
    before: Verb | None = None
    individual: bool = False


STORIES = [
    Story("revoke"),
    Story("hold"),
    Story("decommission"),
    Story("revoke", "hold"),
    Story("decommission", "revoke"),
    Story("restore", "hold"),
    Story("restore", "hold", individual=True),
]


async def begun(story: Story) -> RevocationWorld:
    profile = replace(PROFILE, dps=IndividualEnrollment()) if story.individual else PROFILE
    world = RevocationWorld(profile)
    world.device("dev-1", *certificates())
    if story.before is not None:
        await world.begin(DEVICE, story.before)
    world.work.messages.clear()
    world.calls.made.clear()
    return world


@functools.cache
def certificates() -> tuple[LedgerCertificate, ...]:
    """The same in every world, or their ends could not be compared."""
    return RevocationWorld().certify(), RevocationWorld().certify()


def end(world: RevocationWorld) -> object:
    """All that there is, without marks of storage."""
    known, enrollment = world.known(), world.enrollments.documents.get(registration_key(DEVICE))
    hubs = {key: one.enabled for key, one in world.hubs.identities.items()}
    status = enrollment.document["provisioningStatus"] if enrollment else None
    steps = tuple(replace(one, failures=0) for one in world.saga().steps)
    saga = replace(world.saga(), steps=steps)
    return known.device, known.certificates, saga, known.outbox, hubs, status, world.digicert.revoked


async def undisturbed(story: Story) -> tuple[object, int]:
    """How it ends, and how many calls that takes."""
    world = await begun(story)
    await world.begin(DEVICE, story.verb)
    return end(world), len(world.calls.made)


async def until_done(world: RevocationWorld, story: Story, *, asks_again: bool) -> None:
    """The queue and the sweep go on with a saga; one that was never begun is asked for again."""
    for _ in range(3):
        if asks_again or not (world.known().saga and world.saga().id == f"id-{story.verb}"):
            await world.begin(DEVICE, story.verb)
        else:
            await world.revoke.advance(DEVICE)
        if world.saga().next is None:
            return
    pytest.fail("the saga does not end")


def check_ledger_first(world: RevocationWorld, story: Story) -> None:
    if story.verb != "restore" and any(name.startswith(OUTSIDE) for name in world.calls.made):
        assert world.row().block is not Block.NONE


@pytest.mark.parametrize("asks_again", [True, False])
@pytest.mark.parametrize("death", [Crash, asyncio.CancelledError])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("story", STORIES, ids=str)
async def test_a_saga_that_died_is_made_up_for(
    story: Story, moment: Moment, death: type[BaseException], *, asks_again: bool
) -> None:
    wanted, calls = await undisturbed(story)
    for number in range(calls):
        world = await begun(story)
        world.calls.fail_at(number, death, moment=moment)
        with pytest.raises(death):
            await world.begin(DEVICE, story.verb)
        check_ledger_first(world, story)
        await until_done(world, story, asks_again=asks_again)
        assert end(world) == wanted, f"after {world.calls.made[number]}"
        assert world.work.of("saga"), "nothing will confirm it"


@pytest.mark.parametrize(
    "refusal", [lambda: Unavailable("no", retry_after=1), lambda: OutcomeUnknown("perhaps", retry_after=1)]
)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("story", STORIES, ids=str)
async def test_a_system_that_fails_once_changes_nothing_in_the_end(
    story: Story, moment: Moment, refusal: Callable[[], Refusal]
) -> None:
    wanted, calls = await undisturbed(story)
    for number in range(calls):
        world = await begun(story)
        world.calls.fail_at(number, refusal, moment=moment)
        with contextlib.suppress(Refusal):  # whoever asked is told, and asks again
            await world.begin(DEVICE, story.verb)
        check_ledger_first(world, story)
        await until_done(world, story, asks_again=False)
        assert end(world) == wanted, f"after {world.calls.made[number]}"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("story", STORIES, ids=str)
async def test_going_on_with_a_saga_may_die_too(story: Story, moment: Moment) -> None:
    """DPS, the hub and DigiCert ONE are down when it begins; then the queue's try dies at each of its calls."""
    wanted, _ = await undisturbed(story)
    number = 0
    while True:
        world = await begun(story)
        for name in ("enrollments.block", "enrollments.unblock", "hubs.identity", "hubs.remove", "digicert.revoke"):
            world.calls.fail(name, lambda: Unavailable("down", retry_after=1))
        await world.begin(DEVICE, story.verb)
        world.calls.faults.clear()
        world.calls.made.clear()
        world.calls.fail_at(number, Crash, moment=moment)
        try:
            await world.revoke.advance(DEVICE)
        except Crash:
            pass
        else:
            break
        await until_done(world, story, asks_again=False)
        assert end(world) == wanted
        number += 1
    assert number > 3
