"""An issuing CA follows another: the enrollment group trusts both while both have live certificates."""

import contextlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import pki
from shared.core.errors import Refusal, Unavailable
from shared.core.issuer import thumbprint
from shared.core.rotation import Slots
from shared.flows.trust_reconcile import Settled
from tests.fakes.calls import Crash, Moment
from tests.fakes.digicert import DAY
from tests.fakes.revocation import RevocationWorld
from tests.fakes.world import PROFILE
from tests.flows.rolling import GROUP, a_world, issue, newest, served, slots

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> RevocationWorld:
    return a_world()


async def test_a_new_group_gets_its_issuing_ca(world: RevocationWorld) -> None:
    world.groups.make(GROUP, Slots())
    (settled,) = await world.trust.run()
    assert isinstance(settled, Settled)
    assert settled.changed[0].startswith("primary: CN=")
    assert slots(world) == (newest(world), "")
    assert await world.trust.run() == (Settled(GROUP, ()),)


async def test_a_roll_from_its_beginning_to_its_end(world: RevocationWorld) -> None:
    await issue(world)
    old = world.ca.hierarchy.ica.certificate
    world.clock.forward(days=30)
    world.ca.roll()
    new = newest(world)
    await issue(world)
    await world.trust.run()
    assert slots(world) == (thumbprint(old), new)
    world.clock.forward(days=60)
    await world.trust.run()
    assert slots(world) == (thumbprint(old), new)  # its last certificate ends today
    world.clock.forward(days=1)
    (settled,) = await world.trust.run()
    assert slots(world) == (new, "")
    assert isinstance(settled, Settled)
    assert [one.split(":")[0] for one in settled.changed] == ["primary", "secondary"]


async def test_a_certificate_may_come_from_the_old_ca_after_the_roll(world: RevocationWorld) -> None:
    """The CA goes on issuing from both for a while: the last certificate decides."""
    old = world.ca.hierarchy.ica
    world.clock.forward(days=1)
    world.ca.roll()
    late = pki.issue_leaf(old, "dev-1", old.certificate.public_key(), world.clock())
    held = replace(world.certify().certificate, der=late.public_bytes(Encoding.DER), not_after=late.not_valid_after_utc)
    await world.issuers.note(held)
    await world.trust.run()
    assert slots(world) == (thumbprint(old.certificate), newest(world))


async def test_a_compromised_ca_that_nobody_names_and_nobody_uses_leaves_at_once(world: RevocationWorld) -> None:
    world.clock.forward(days=1)
    world.ca.roll()
    await world.trust.run()
    assert slots(world) == (newest(world), "")


async def test_two_labels_of_one_group_share_its_slots() -> None:
    world = RevocationWorld()
    world.groups.make(GROUP, Slots())
    other = RevocationWorld(replace(PROFILE, label="others"), world.clock, world.calls)
    other.watermarks = world.watermarks
    other.ca.with_keys_of_its_own()
    labels = {**world.profiles.by_label, **other.profiles.by_label}
    trust = replace(
        world.trust,
        profiles=replace(world.profiles, by_label=labels),
        chains={"devices": world.chain, "others": other.chain},
    )
    (settled,) = await trust.run()
    assert isinstance(settled, Settled)
    assert slots(world) == (newest(world), newest(other))


async def test_somebody_elses_ca_in_the_group_stays(world: RevocationWorld) -> None:
    world.groups.make(GROUP, Slots("f" * 64))
    await world.trust.run()
    assert slots(world) == ("f" * 64, newest(world))


async def test_a_group_that_names_its_root_is_left_alone(world: RevocationWorld) -> None:
    world.groups.make(GROUP, Slots(), by_reference=True)
    assert await world.trust.run() == (Settled(GROUP, ()),)
    assert world.calls.count("groups.put") == 0


async def test_a_group_that_changed_meanwhile_is_read_again(world: RevocationWorld) -> None:
    await issue(world)
    world.clock.forward(days=1)
    world.ca.roll()

    async def touched() -> None:
        world.calls.meanwhile.clear()
        world.groups.make(GROUP, world.groups.groups[GROUP].slots)

    world.calls.meanwhile["groups.put"] = touched
    await world.trust.run()
    assert slots(world)[1] == newest(world)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_run_that_died_at_any_call_is_made_up_for_by_the_next(moment: Moment) -> None:
    for failing in (Crash, lambda: Unavailable("no", retry_after=1)):
        number, struck = 0, True
        while struck:
            world = RevocationWorld()
            root = world.ca.hierarchy.root
            world.ca.hierarchy = pki.Hierarchy(root, pki.issuing_ca(root, "Short-lived", world.clock(), 200 * DAY))
            old = world.ca.hierarchy.ica.certificate
            world.ca.announced = [root.certificate, old]
            world.groups.make(GROUP, Slots(newest(world)))
            await issue(world)
            await served(world)
            world.clock.forward(days=1)
            world.ca.roll()
            world.ca.announced.remove(old)
            world.calls.made.clear()
            world.calls.fail_at(number, failing, moment=moment)
            with contextlib.suppress(Crash, Refusal):
                await world.trust.run()
            struck = not world.calls.faults
            world.calls.faults.clear()
            assert old in await served(world)
            await world.trust.run()
            assert slots(world) == (thumbprint(old), newest(world))
            world.clock.forward(days=91)
            await world.trust.run()
            assert slots(world) == (newest(world), "")
            told = {one.id: (one.before, one.after) for one in world.topic.trust}
            both = Slots(thumbprint(old), newest(world))
            assert list(told.values()) == [(Slots(thumbprint(old)), both), (both, Slots(newest(world)))], number
            number += 1
        assert number > 5
