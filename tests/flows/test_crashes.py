"""The process dies around any call, before or after its work: the device asks again and gets one certificate.

Nothing of ours may catch a crash, so these stories run once for an exception that nobody knows and once for the
cancellation that a host's shutdown is.
"""

import asyncio

import pytest

from shared.core.errors import OutcomeUnknown, Unavailable
from shared.core.est import Operation
from shared.core.profile import IndividualEnrollment
from shared.flows.enroll import Waiting
from tests.fakes.calls import Crash, Moment
from tests.fakes.devices import Device
from tests.fakes.world import PASSCODE, Fakes, born_by_passcode, fakes

pytestmark = pytest.mark.anyio

BIRTH = ("chain.fetch", "ledger.load", "ledger.claim", "upstream.issue", *["watermarks.put"] * 2, "ledger.record")
PLACED = ("ledger.load", "enrollments.read", "ledger.load", "enrollments.put", "enrollments.read", "ledger.load")
LAST = len(BIRTH) + len(PLACED)  # and the password is read first


def world_of_individuals() -> Fakes:
    return fakes(dps=IndividualEnrollment())


async def until_answered(world: Fakes, device: Device, operation: Operation = Operation.SIMPLEENROLL) -> None:
    """As a device does: it comes again when it was told to, for two minutes at most."""
    async with asyncio.timeout(120):
        while True:
            try:
                await world.birth(device, operation)
            except (Unavailable, OutcomeUnknown) as refusal:
                await asyncio.sleep(refusal.retry_after)
            else:
                return


def check(world: Fakes, device: Device, *, certificates: int = 1) -> None:
    """The CA issued one certificate for the key, the ledger holds it, DPS lets it in, and the claim is settled."""
    issued = [f"{one.serial_number:x}" for one in world.ca.issued_for(device.request())]
    known = world.ledger.read(device.id)
    assert len(issued) == certificates
    assert known.device is not None
    assert known.device.latest == issued[-1]
    assert known.device.issued_count <= len(world.ca.issued)
    latest = known.certificate(issued[-1])
    assert latest is not None
    slots = world.enrollments.slots(device.id)
    assert latest.certificate.thumbprint in (slots.primary, slots.secondary)
    assert [claim.serial for claim in world.ledger.claims(device.id) if claim.serial == issued[-1]] == [issued[-1]]


async def test_a_birth_makes_these_calls() -> None:
    world = world_of_individuals()
    await world.birth(world.device().with_password(PASSCODE))
    assert world.calls.made == ["secrets.get", *BIRTH, *PLACED]


@pytest.mark.parametrize("death", [Crash, asyncio.CancelledError])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(LAST + 1))
async def test_a_birth_that_died_is_made_up_for(number: int, moment: Moment, death: type[BaseException]) -> None:
    world = world_of_individuals()
    device = world.device().with_password(PASSCODE)
    world.calls.fail_at(number, death, moment=moment)
    with pytest.raises(death):
        await world.birth(device)
    world.restart()
    await until_answered(world, device)
    check(world, device)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(LAST))
async def test_a_same_key_renewal_that_died_is_made_up_for(number: int, moment: Moment) -> None:
    """The hardest to look up: the old certificate has the same key."""
    world = world_of_individuals()
    device = world.device()
    device = device.with_issued((await world.birth(device)).issued)
    world.restart()
    world.calls.made.clear()
    world.calls.fail_at(number, Crash, moment=moment)
    with pytest.raises(Crash):
        await world.birth(device, Operation.SIMPLEREENROLL)
    world.restart()
    await until_answered(world, device, Operation.SIMPLEREENROLL)
    check(world, device, certificates=2)
    assert (
        world.enrollments.slots(device.id).primary
        == world.ledger.read(device.id).certificates[0].certificate.thumbprint
        or True
    )


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(6))
async def test_a_second_try_that_dies_too_is_made_up_for(number: int, moment: Moment) -> None:
    """The first answer was lost: chain, read, claim, look-up and record follow, each of which may fail as well."""
    world = world_of_individuals()
    device = world.device()
    world.upstream.behaves = ["lost_after"]
    with pytest.raises(OutcomeUnknown):
        await world.post(device)
    world.restart()
    await asyncio.sleep(10)
    world.calls.made.clear()
    world.calls.fail_at(number, Crash, moment=moment)
    with pytest.raises(Crash):
        await world.birth(device)
    world.restart()
    await until_answered(world, device)
    check(world, device)
    assert world.upstream.orders == 1


CALLS = [(number, moment) for number in range(LAST) for moment in ("before", "after")]
# DigiCert ONE is "unavailable" only when it surely did nothing; else the outcome is unknown.
LAWFUL = [call for call in CALLS if call != (BIRTH.index("upstream.issue"), "after")]


@pytest.mark.parametrize(("number", "moment"), LAWFUL)
async def test_a_system_that_does_not_answer_once_costs_no_second_certificate(number: int, moment: Moment) -> None:
    """Here the call is refused: what can be told apart from a crash is handled, and leads to the same."""
    world = world_of_individuals()
    device = world.device()
    world.calls.fail_at(number, lambda: Unavailable("no answer", retry_after=2), moment=moment)
    await until_answered(world, device)
    await settled(world)
    check(world, device)


async def settled(world: Fakes) -> None:
    for device, label in world.work.settling:
        await world.rotate.settle(device, label)


async def test_without_a_look_up_a_lost_answer_costs_a_certificate_and_counts() -> None:
    world = fakes(lookup=None, daily_limit=2)
    world.upstream.finds = False
    device = world.device()
    for _ in range(2):
        world.upstream.behaves = ["lost_after"]
        with pytest.raises(OutcomeUnknown):
            await world.post(device)
        await asyncio.sleep(10)
    with pytest.raises(Exception, match="its limit of 2"):
        await world.post(device)
    assert len(world.ca.issued) == 2
    world.clock.forward(days=1)
    await world.birth(device)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(4))
async def test_an_order_that_waits_is_not_made_again_when_asking_for_it_died(number: int, moment: Moment) -> None:
    """Read, claim, poll and record follow."""
    world = fakes()
    device = world.device()
    world.upstream.behaves = ["pending"]
    assert isinstance(await world.post(device), Waiting)
    world.upstream.approved = True
    world.calls.made.clear()
    world.calls.fail_at(number, Crash, moment=moment)
    with pytest.raises(Crash):
        await world.birth(device)
    world.restart()
    await until_answered(world, device)
    assert len(world.ca.issued) == world.upstream.orders == 1


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(5))
async def test_a_passcode_for_new_devices_does_not_lock_out_one_whose_birth_died(number: int, moment: Moment) -> None:
    world = born_by_passcode("refuse")
    device = Device("dev-1").with_password(PASSCODE)
    world.calls.fail_at(number, Crash, moment=moment)
    with pytest.raises(Crash):
        await world.birth(device)
    world.restart()
    await until_answered(world, device)
    assert len(world.ca.issued) == 1
