"""An issuing CA follows another: DPS and devices trust both while both have live certificates."""

import contextlib
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import pki
from shared.core.errors import Misconfigured, Refusal, Unavailable, UpstreamRefused
from shared.core.issuer import thumbprint
from shared.core.profile import IndividualEnrollment
from shared.core.rotation import Slots
from shared.flows.trust import Chains
from shared.flows.trust_reconcile import Alert, Settled
from tests.fakes.calls import Crash, Moment
from tests.fakes.digicert import DAY
from tests.fakes.revocation import RevocationWorld
from tests.fakes.world import PROFILE

pytestmark = pytest.mark.anyio

GROUP = "birthcert"


@pytest.fixture
def world() -> RevocationWorld:
    made = RevocationWorld()
    made.groups.make(GROUP, Slots(newest(made)))
    return made


def newest(world: RevocationWorld) -> str:
    return thumbprint(world.ca.hierarchy.ica.certificate)


def slots(world: RevocationWorld) -> tuple[str, str]:
    found = world.groups.groups[GROUP].slots
    return found.primary, found.secondary


async def issue(world: RevocationWorld, days: float = 90) -> None:
    """As a birth does it: noted before it is recorded."""
    await world.issuers.note(world.certify("dev-1", days).certificate)


async def served(world: RevocationWorld) -> list[x509.Certificate]:
    """What `cacerts` gives in a new process."""
    return list(await Chains({"devices": world.chain}, world.clock).current("devices"))


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


async def test_a_certificate_is_noted_once_by_a_process(world: RevocationWorld) -> None:
    issuers, one = world.issuers, world.certify().certificate
    await issuers.note(one)
    await issuers.note(one)
    assert world.calls.made == ["watermarks.put"] * 2


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
    labels = {**world.profiles.by_label, **other.profiles.by_label}
    trust = replace(
        world.trust,
        profiles=replace(world.profiles, by_label=labels),
        chains={"devices": world.chain, "others": other.chain},
    )
    (settled,) = await trust.run()
    assert isinstance(settled, Settled)
    assert slots(world) == (newest(world), newest(other))


async def test_a_third_ca_that_is_needed_is_an_alert(world: RevocationWorld) -> None:
    await issue(world)
    first = newest(world)
    for _ in range(2):
        world.clock.forward(days=1)
        world.ca.roll()
        await issue(world)
        result = await world.trust.run()
    alert = result[-1]
    assert isinstance(alert, Alert)
    assert "has no slot: the group has two slots" in alert.text
    assert slots(world)[0] == first


async def test_somebody_elses_ca_in_the_group_stays(world: RevocationWorld) -> None:
    world.groups.make(GROUP, Slots("f" * 64))
    await world.trust.run()
    assert slots(world) == ("f" * 64, newest(world))


async def test_a_group_that_names_its_root_is_left_alone(world: RevocationWorld) -> None:
    world.groups.make(GROUP, Slots(), by_reference=True)
    assert await world.trust.run() == (Settled(GROUP, ()),)
    assert world.calls.count("groups.put") == 0


async def test_a_group_that_is_missing_is_an_alert_with_its_remedy(world: RevocationWorld) -> None:
    del world.groups.groups[GROUP]
    (alert,) = await world.trust.run()
    assert isinstance(alert, Alert)
    assert "az iot dps enrollment-group create --dps-name dps-1 --enrollment-id birthcert" in alert.text


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


async def test_a_group_that_changes_all_the_time_is_an_alert(world: RevocationWorld) -> None:
    world.groups.make(GROUP, Slots())

    async def touched() -> None:
        world.groups.make(GROUP, Slots())

    world.calls.meanwhile["groups.put"] = touched
    (alert,) = await world.trust.run()
    assert isinstance(alert, Alert)
    assert "changing too fast" in alert.text


async def test_a_dps_that_refuses_the_ca_is_an_alert_that_tells_how_to_add_the_root(world: RevocationWorld) -> None:
    """And the old CA is not forgotten: who would know it again in the group?"""
    world.groups.make(GROUP, Slots())
    world.calls.fail("groups.put", lambda: Misconfigured("not set up", cause="DPS answers 400: bad chain"))
    (alert,) = await world.trust.run()
    root = thumbprint(world.ca.hierarchy.root.certificate)
    assert isinstance(alert, Alert)
    assert alert.text.startswith("not set up: DPS answers 400: bad chain. If DPS does not hold the root CN=")
    assert f"(SHA-256 {root}): take it from /.well-known/est/devices/cacerts" in alert.text
    assert "az iot dps certificate create --dps-name dps-1 --resource-group GROUP" in alert.text
    assert f"--certificate-name birthcert-root-{root[:8]} --path ROOT.pem --verified true" in alert.text


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


@pytest.mark.parametrize(
    ("reason", "tells"),
    [
        ("401002: CA certificate not found.", True),
        ("Invalid certificate", True),
        ("Signing certificate info did not match chain elements.", False),
        ("Custom allocation failed with status code: 403", False),
    ],
)
async def test_dps_tells_by_its_refusals_that_it_misses_the_root(
    world: RevocationWorld, reason: str, *, tells: bool
) -> None:
    await world.trust.refused(reason)
    assert isinstance((await world.trust.run())[-1], Alert) is tells
    world.clock.forward(days=2)
    assert isinstance((await world.trust.run())[-1], Settled)


async def test_a_chain_that_cannot_be_had_is_an_alert_and_changes_nothing(world: RevocationWorld) -> None:
    world.calls.fail("chain.fetch", lambda: UpstreamRefused("the CA refused"))
    assert await world.trust.run() == (Alert("devices", "the CA refused"),)


async def test_storage_that_fails_is_an_alert(world: RevocationWorld) -> None:
    world.calls.fail("watermarks.get", lambda: Unavailable("no", retry_after=1), times=1)
    assert await world.trust.run() == (Alert("devices", "no"),)
    await world.trust.run()
    asked = world.calls.made.index("groups.read")
    world.calls.made.clear()
    await world.trust.run()
    last = len(world.calls.made) - 1
    assert asked
    world.calls.made.clear()
    world.calls.fail_at(last, lambda: Unavailable("no", retry_after=1), moment="before")
    assert (await world.trust.run())[-1] == Alert("trust", "no")


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
            number += 1
        assert number > 5
