"""What an operator is told when DPS cannot be brought to trust what it must."""

import pytest

from shared.core.errors import Misconfigured, Unavailable, UpstreamRefused
from shared.core.issuer import thumbprint
from shared.core.rotation import Slots
from shared.flows.trust_reconcile import Alert, Settled
from tests.fakes.revocation import RevocationWorld
from tests.flows.rolling import GROUP, a_world, issue, newest, slots

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> RevocationWorld:
    return a_world()


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


async def test_a_group_that_is_missing_is_an_alert_with_its_remedy(world: RevocationWorld) -> None:
    del world.groups.groups[GROUP]
    (alert,) = await world.trust.run()
    assert isinstance(alert, Alert)
    assert "az iot dps enrollment-group create --dps-name dps-1 --enrollment-id birthcert" in alert.text


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
