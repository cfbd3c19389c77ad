"""Renewal in time: the scan finds what is due, and a device is asked until it has renewed."""

from dataclasses import dataclass, replace

import pytest

from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from shared.core.profile import Profiles
from shared.core.revocation import Reason, Verb
from shared.flows.enroll import Enrolled
from shared.flows.ports.index import Due
from shared.flows.ports.ledger import StaleVersionError
from shared.flows.renew import WATERMARK, Renew
from tests.fakes.index import FakeSchedule, FakeWatermarks
from tests.fakes.world import PROFILE, Fakes, fakes

LIFETIME = 90


@dataclass
class Renewing:
    """The flow over the world's fakes, and hands for the tests."""

    world: Fakes
    per_minute: int = 60

    def __post_init__(self) -> None:
        world = self.world
        self.schedule = FakeSchedule(world.ledger, world.calls)
        self.watermarks = FakeWatermarks(world.calls)
        known = Profiles(world.default, world.profiles)
        self.renew = Renew(
            known, world.ledger, world.hubs, self.schedule, self.watermarks, world.work, world.clock, self.per_minute
        )

    async def born(self, name: str = "dev-1") -> Enrolled:
        """A device that is in a hub, and whose certificate is due."""
        born = await self.world.birth(self.world.device(name))
        self.world.hubs.put("hub-a", DeviceId(name), born.issued.certificate.thumbprint)
        await self.world.provision.device_created("hub-a", DeviceId(name))
        return born

    async def play(self) -> list[str]:
        """Handle all nudges that stand in the queue; how each went."""
        outcomes = []
        for message in self.world.work.take("nudge"):
            assert message.day is not None
            nudged = await self.renew.nudge(Due(message.device, message.serial), message.day)
            outcomes.append(nudged.outcome)
        return outcomes

    def desired(self, name: str = "dev-1") -> dict[str, object]:
        return self.world.hubs.twin("hub-a", DeviceId(name)).desired


@pytest.fixture
def renewing(world: Fakes) -> Renewing:
    return Renewing(world)


async def test_nobody_is_asked_before_it_is_time(renewing: Renewing) -> None:
    await renewing.born()
    renewing.world.clock.forward(days=LIFETIME * 0.8 - 2)
    assert (await renewing.renew.scan()).nudges == 0


async def test_a_due_device_is_asked_through_its_twin_and_again_until_it_renews(renewing: Renewing) -> None:
    born = await renewing.born()
    renewing.world.clock.forward(days=LIFETIME * 0.8)
    assert (await renewing.renew.scan()).nudges == 1
    assert await renewing.play() == ["nudged"]
    assert renewing.desired()["renew"] == born.issued.certificate.serial
    assert (await renewing.renew.scan()).nudges == 0
    renewing.world.clock.forward(days=1)
    assert (await renewing.renew.scan()).nudges == 1
    assert await renewing.play() == ["nudged"]
    device = renewing.world.device().with_issued(born.issued).with_new_key()
    await renewing.world.birth(device)
    renewing.world.clock.forward(days=2)
    await renewing.renew.scan()
    assert await renewing.play() == ["renewed"]
    renewing.world.clock.forward(days=1)
    assert (await renewing.renew.scan()).nudges == 0


async def test_a_scan_that_broke_off_begins_again_where_it_was(renewing: Renewing) -> None:
    await renewing.born()
    renewing.world.clock.forward(days=LIFETIME * 0.8 + 5)
    renewing.world.calls.fail("work.nudge", lambda: Unavailable("down", retry_after=5))
    with pytest.raises(Unavailable):
        await renewing.renew.scan()
    assert WATERMARK not in renewing.watermarks.values
    assert (await renewing.renew.scan()).nudges == 1


async def test_a_device_in_no_hub_is_asked_again_another_day(renewing: Renewing) -> None:
    born = await renewing.world.birth(renewing.world.device())
    renewing.world.clock.forward(days=LIFETIME * 0.8)
    due = Due(DeviceId("dev-1"), born.issued.certificate.serial)
    nudged = await renewing.renew.nudge(due, renewing.world.clock().date())
    assert (nudged.outcome, nudged.reached) == ("nudged", False)


async def test_a_nudge_whose_hub_is_down_comes_again(renewing: Renewing) -> None:
    born = await renewing.born()
    renewing.world.clock.forward(days=LIFETIME * 0.8)
    renewing.world.calls.fail("hubs.desire", lambda: Unavailable("down", retry_after=5))
    due = Due(DeviceId("dev-1"), born.issued.certificate.serial)
    day = renewing.world.clock().date()
    with pytest.raises(Unavailable):
        await renewing.renew.nudge(due, day)
    assert (await renewing.renew.nudge(due, day)).outcome == "nudged"


async def test_a_nudge_that_becomes_poison_is_made_up_for_tomorrow(renewing: Renewing) -> None:
    """And not in each scan of today: one message of it in the poison queue is enough."""
    await renewing.born()
    renewing.world.clock.forward(days=LIFETIME * 0.8)
    await renewing.renew.scan()
    renewing.world.calls.fail("hubs.desire", lambda: Unavailable("down", retry_after=5))
    with pytest.raises(Unavailable):
        await renewing.play()
    renewing.world.clock.forward(seconds=3600)
    assert (await renewing.renew.scan()).nudges == 0
    renewing.world.clock.forward(days=1)
    await renewing.renew.scan()
    assert await renewing.play() == ["nudged"]


async def test_a_device_on_hold_is_not_asked_until_it_is_restored(renewing: Renewing) -> None:
    born = await renewing.born()
    renewing.world.clock.forward(days=LIFETIME * 0.8)

    async def block(verb: Verb) -> None:
        device = DeviceId("dev-1")
        await renewing.world.revoke.begin(device, verb, Reason.UNSPECIFIED, caller="", comment="", saga_id=verb)

    await block("hold")
    await renewing.renew.scan()
    assert await renewing.play() == ["later"]
    assert "renew" not in renewing.desired()
    await block("restore")
    renewing.world.clock.forward(days=1)
    await renewing.renew.scan()
    assert await renewing.play() == ["nudged"]
    assert renewing.desired()["renew"] == born.issued.certificate.serial


async def test_a_device_whose_certificate_has_ended_is_asked_no_more(renewing: Renewing) -> None:
    await renewing.born()
    renewing.world.clock.forward(days=LIFETIME + 1)
    await renewing.renew.scan()
    assert await renewing.play() == ["expired"]
    assert renewing.world.ledger.due == {}


async def test_the_outbox_waits_for_the_sweep_when_the_queue_is_down(renewing: Renewing) -> None:
    born = await renewing.born()
    renewing.world.clock.forward(days=LIFETIME * 0.8)
    renewing.world.calls.fail("work.publish", lambda: Unavailable("down", retry_after=5))
    due = Due(DeviceId("dev-1"), born.issued.certificate.serial)
    assert (await renewing.renew.nudge(due, renewing.world.clock().date())).outcome == "nudged"
    assert renewing.world.ledger.read(DeviceId("dev-1")).outbox


async def test_a_device_that_keeps_changing_is_given_back_to_the_queue(renewing: Renewing) -> None:
    born = await renewing.born()
    renewing.world.clock.forward(days=LIFETIME * 0.8)
    due = Due(DeviceId("dev-1"), born.issued.certificate.serial)
    renewing.world.calls.fail("ledger.commit", StaleVersionError, times=1)
    assert (await renewing.renew.nudge(due, renewing.world.clock().date())).outcome == "nudged"
    renewing.world.clock.forward(days=1)
    for _ in range(4):
        renewing.world.calls.fail("ledger.commit", StaleVersionError)
    with pytest.raises(Unavailable):
        await renewing.renew.nudge(due, renewing.world.clock().date())


async def test_a_direct_method_reaches_it_at_once_where_the_profile_says_so() -> None:
    world = fakes(renewal=replace(PROFILE.renewal, direct_method="renewCertificate"))
    renewing = Renewing(world)
    born = await renewing.born()
    world.clock.forward(days=LIFETIME * 0.8)
    world.hubs.twin("hub-a", DeviceId("dev-1")).methods = frozenset({"renewCertificate"})
    due = Due(DeviceId("dev-1"), born.issued.certificate.serial)
    assert (await renewing.renew.nudge(due, world.clock().date())).reached
    ((method, payload),) = world.hubs.twin("hub-a", DeviceId("dev-1")).invoked
    assert method == "renewCertificate"
    assert payload["renew"] == due.serial


async def test_a_device_that_is_gone_leaves_the_index(renewing: Renewing) -> None:
    due, day = Due(DeviceId("dev-9"), "abc"), renewing.world.clock().date()
    await renewing.schedule.add(due, day)
    assert (await renewing.renew.nudge(due, day)).outcome == "unknown"
    assert renewing.world.ledger.due == {}
