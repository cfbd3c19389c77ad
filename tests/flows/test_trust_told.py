"""The world is told when a group comes to trust other CAs: also after a crash, and after the topic was down."""

from collections.abc import Callable

import pytest

from shared.core.errors import Misconfigured, Refusal, Unavailable
from shared.core.issuer import TrustChanged
from shared.core.rotation import Slots
from shared.flows.trust_outbox import MOST
from shared.flows.trust_reconcile import Alert, Settled
from tests.fakes.calls import Crash
from tests.fakes.revocation import RevocationWorld
from tests.flows.rolling import GROUP, a_world, issue, newest, slots

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> RevocationWorld:
    return a_world()


async def rolled(world: RevocationWorld) -> Slots:
    """A new CA is to come into the group beside the old one, which is in use; how the group will be."""
    old = newest(world)
    await issue(world)
    world.clock.forward(days=1)
    world.ca.roll()
    return Slots(old, newest(world))


def down() -> Refusal:
    return Unavailable("no", retry_after=1, cause="503")


def told(world: RevocationWorld) -> list[tuple[Slots, Slots]]:
    return [(one.before, one.after) for one in world.topic.trust]


async def test_who_comes_and_who_goes_is_told_with_the_slots(world: RevocationWorld) -> None:
    old = Slots(newest(world))
    names = [world.ca.hierarchy.ica.certificate.subject.rfc4514_string()]
    both = await rolled(world)
    names.append(world.ca.hierarchy.ica.certificate.subject.rfc4514_string())
    await world.trust.run()
    came_at = world.clock()
    world.clock.forward(days=91)
    await world.trust.run()
    came, went = world.topic.trust
    assert came == TrustChanged(came.id, GROUP, came_at, old, both, added=(names[1],), removed=())
    assert (went.before, went.after, went.added, went.removed) == (both, Slots(newest(world)), (), (names[0],))
    assert came.id != went.id


async def test_a_group_that_stays_as_it_is_is_no_news(world: RevocationWorld) -> None:
    await world.trust.run()
    assert world.topic.trust == []
    assert world.calls.count("announcements.publish") == 0


@pytest.mark.parametrize("error", [down, lambda: Misconfigured("not set up", cause="the topic refuses us: 403")])
async def test_a_topic_that_is_down_holds_up_no_group_and_is_told_later(
    world: RevocationWorld, error: Callable[[], Refusal]
) -> None:
    both = await rolled(world)
    world.calls.fail("announcements.publish", error, times=2)
    settled, alert = await world.trust.run()
    assert isinstance(settled, Settled)
    assert isinstance(alert, Alert)
    assert alert.text.startswith("1 changes of the group are not published yet, the next run tries again: no")
    assert (slots(world), told(world)) == ((both.primary, both.secondary), [])
    begun = world.clock()
    world.clock.forward(days=91)
    await world.trust.run()
    assert slots(world) == (newest(world), "")
    await world.trust.run()
    await world.trust.run()
    assert told(world) == [(Slots(both.primary), both), (both, Slots(newest(world)))]
    assert world.topic.trust[0].time == begun


async def test_an_event_that_is_sent_again_is_the_same_event(world: RevocationWorld) -> None:
    await rolled(world)
    world.calls.fail("announcements.publish", Crash, moment="after")
    with pytest.raises(Crash):
        await world.trust.run()
    world.clock.forward(seconds=3600)
    await world.trust.run()
    first, again = world.topic.trust
    assert first == again


async def test_a_change_that_never_came_to_be_is_not_told(world: RevocationWorld) -> None:
    """Also when somebody changes the group by hand later: that was not us."""
    await rolled(world)
    world.calls.fail("groups.put", down)
    await world.trust.run()
    world.ca.announced.pop()
    await world.watermarks.put("chain-devices", "")
    await world.trust.run()
    assert told(world) == []
    world.groups.make(GROUP, Slots(world.groups.groups[GROUP].slots.primary, "f" * 64))
    await world.trust.run()
    assert told(world) == []


async def test_a_change_whose_answer_was_lost_is_told_whatever_others_did_since(world: RevocationWorld) -> None:
    both = await rolled(world)
    world.calls.fail("groups.put", down, moment="after")
    await world.trust.run()
    world.groups.make(GROUP, Slots("f" * 64, both.secondary))
    await world.trust.run()
    assert told(world)[0] == (Slots(both.primary), both)


async def test_a_group_that_names_its_root_since_has_still_something_to_tell(world: RevocationWorld) -> None:
    both = await rolled(world)
    world.calls.fail("announcements.publish", down)
    await world.trust.run()
    world.groups.make(GROUP, Slots(), by_reference=True)
    assert await world.trust.run() == (Settled(GROUP, ()),)
    assert told(world) == [(Slots(both.primary), both)]


async def test_of_changes_that_somebody_always_undoes_the_last_are_kept(world: RevocationWorld) -> None:
    """And they fit into a watermark, which holds 32,000 characters."""
    await rolled(world)
    world.calls.fail("announcements.publish", down, times=MOST + 8)
    for number in range(MOST + 8):
        world.groups.make(GROUP, Slots(f"{number:064x}"))
        await world.trust.run()
        world.clock.forward(seconds=3600)
    assert len(world.watermarks.values[f"trust-{GROUP}"]) < 32_000
    await world.trust.run()
    assert [one.before.primary for one in world.topic.trust] == [f"{number:064x}" for number in range(8, MOST + 8)]
