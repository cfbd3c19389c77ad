"""A replaced issuing CA is served and believed until its last certificate has ended, and not longer."""

from dataclasses import replace

import pytest

from sandbox import pki
from shared.core.errors import Unavailable
from shared.core.issuer import thumbprint
from shared.core.profile import IndividualEnrollment
from shared.core.rotation import Slots
from tests.fakes.revocation import RevocationWorld
from tests.fakes.world import PROFILE
from tests.flows.rolling import GROUP, a_world, issue, newest, served, slots

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> RevocationWorld:
    return a_world()


async def test_cacerts_serves_old_and_new_also_when_the_ca_names_the_old_one_no_more(world: RevocationWorld) -> None:
    await issue(world)
    old = world.ca.hierarchy.ica.certificate
    assert old in await served(world)
    world.clock.forward(days=30)
    world.ca.roll()
    world.ca.announced.remove(old)
    both = await served(world)
    assert {old, world.ca.hierarchy.ica.certificate} < set(both)
    assert both[-1] == world.ca.hierarchy.root.certificate
    await world.trust.run()
    assert slots(world) == (thumbprint(old), newest(world))
    world.clock.forward(days=61)
    assert old in await served(world)
    await world.trust.run()
    assert slots(world) == (newest(world), "")
    assert old not in await served(world)


async def test_a_certificate_is_noted_once_by_a_process(world: RevocationWorld) -> None:
    issuers, one = world.issuers, world.certify().certificate
    await issuers.note(one)
    await issuers.note(one)
    assert world.calls.made == ["watermarks.put"] * 2


async def test_an_old_ca_is_not_forgotten_before_it_has_left_the_group(world: RevocationWorld) -> None:
    old = world.ca.hierarchy.ica.certificate
    await served(world)
    world.clock.forward(days=1)
    world.ca.roll()
    world.ca.announced.remove(old)
    world.calls.fail("groups.put", lambda: Unavailable("no", retry_after=1))
    await world.trust.run()
    assert old in await served(world)
    await world.trust.run()
    assert slots(world) == (newest(world), "")
    assert old not in await served(world)


async def test_labels_with_individual_enrollments_have_no_group_and_still_forget() -> None:
    world = RevocationWorld(replace(PROFILE, dps=IndividualEnrollment()))
    old = world.ca.hierarchy.ica.certificate
    await served(world)
    world.clock.forward(days=1)
    world.ca.roll()
    world.ca.announced.remove(old)
    assert old in await served(world)
    assert await world.trust.run() == ()
    assert old not in await served(world)
    await world.chain.forget(old)  # again, which is no harm


async def test_what_stands_in_storage_is_trusted_only_under_a_root_that_the_ca_names(world: RevocationWorld) -> None:
    before = await served(world)
    rogue = pki.issuing_hierarchy(world.clock())
    leaf = pki.issue_leaf(world.ca.hierarchy.ica, "dev-1", rogue.ica.key.public_key(), world.clock())
    name = "chain-devices"
    world.watermarks.values[name] += pki.certificate_pem(rogue.root.certificate, rogue.ica.certificate, leaf)
    assert await served(world) == before
    world.watermarks.values[name] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert await served(world) == before


async def test_a_ca_that_has_ended_is_served_no_more() -> None:
    world = RevocationWorld()
    old = pki.issuing_ca(world.ca.hierarchy.root, "Short", world.clock(), 10 * pki.YEAR / 365).certificate
    world.ca.announced.append(old)
    world.groups.make(GROUP, Slots(thumbprint(old)))
    assert old in await served(world)
    world.ca.announced.remove(old)
    world.clock.forward(days=11)
    assert old not in await served(world)
