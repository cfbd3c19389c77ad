"""DigiCert ONE refuses, is down, answers with rubbish or not at all: what the device is told, and what comes after."""

import asyncio

import pytest

from shared.core.errors import Malformed, OutcomeUnknown, Refusal, Throttled, Unavailable, UpstreamRefused
from tests.fakes.devices import Device
from tests.fakes.digicert import Behaviour, Flaw
from tests.fakes.world import Fakes, fakes

pytestmark = pytest.mark.anyio

NOTHING_ISSUED: list[tuple[Behaviour, type[Refusal]]] = [
    ("refuse", UpstreamRefused),
    ("malformed", Malformed),
    ("throttle", Throttled),
    ("down", Unavailable),
]


async def refused(world: Fakes, device: Device, kind: type[Refusal], text: str | None = None) -> None:
    with pytest.raises(kind, match=text):
        await world.post(device)


@pytest.mark.parametrize(("behaviour", "kind"), NOTHING_ISSUED)
async def test_a_clear_no_leaves_no_trace_and_does_not_count(behaviour: Behaviour, kind: type[Refusal]) -> None:
    world = fakes(daily_limit=1)
    device = world.device()
    world.upstream.behaves = [behaviour, behaviour]
    for _ in range(2):
        await refused(world, device, kind)
        assert world.ledger.claims(device.id) == []
    await world.birth(device)
    assert world.calls.count("upstream.find") == 0


@pytest.mark.parametrize("behaviour", ["lost_after", "garbage"])
async def test_a_certificate_whose_answer_was_lost_is_found_and_not_issued_again(
    world: Fakes, behaviour: Behaviour
) -> None:
    device = world.device()
    world.upstream.behaves = [behaviour]
    await refused(world, device, OutcomeUnknown)
    born = await world.birth(device)
    assert [f"{one.serial_number:x}" for one in world.ca.issued] == [born.issued.certificate.serial]
    assert (await world.birth(device)).issued == born.issued
    assert world.calls.count("upstream.find") == 1


async def test_an_order_that_was_lost_on_the_way_is_made_again_once_that_is_known(world: Fakes) -> None:
    device = world.device()
    world.upstream.behaves = ["lost_before"]
    await refused(world, device, OutcomeUnknown)
    await world.birth(device)
    assert (world.upstream.orders, world.calls.count("upstream.find"), len(world.ca.issued)) == (2, 1, 1)


async def test_orders_that_were_lost_on_the_way_count_once_where_they_can_be_looked_for() -> None:
    world = fakes(daily_limit=1)
    device = world.device()
    world.upstream.behaves = ["lost_before"] * 4
    for _ in range(4):
        await refused(world, device, OutcomeUnknown)
        await asyncio.sleep(10)
    await world.birth(device)
    known = world.ledger.read(device.id).device
    assert known is not None
    assert known.issued_count == 1


async def test_a_refusal_of_yesterdays_order_does_not_lower_todays_count(world: Fakes) -> None:
    device = world.device()
    world.upstream.behaves = ["lost_before"]
    await refused(world, device, OutcomeUnknown)
    world.clock.forward(days=1)
    await world.birth(device.with_new_key())
    world.upstream.behaves = ["refuse"]
    await refused(world, device, UpstreamRefused)
    known = world.ledger.read(device.id).device
    assert known is not None
    assert (known.issued_on, known.issued_count) == (world.clock().date(), 1)


@pytest.mark.parametrize("error", [Unavailable("no", retry_after=5), Throttled("no", retry_after=5)])
async def test_while_the_look_up_fails_nothing_is_ordered(world: Fakes, error: Refusal) -> None:
    device = world.device()
    world.upstream.behaves = ["lost_after"]
    await refused(world, device, OutcomeUnknown)
    world.calls.fail("upstream.find", lambda: error, times=3)
    for _ in range(3):
        await refused(world, device, type(error))
        await asyncio.sleep(5)
    assert world.upstream.orders == 1
    await world.birth(device)
    assert len(world.ca.issued) == 1


async def test_a_lost_answer_is_not_looked_for_while_the_ca_may_still_be_at_it(world: Fakes) -> None:
    device = world.device()
    world.upstream.behaves = ["lost_after"]
    await refused(world, device, OutcomeUnknown)
    before = world.clock()
    await world.birth(device)
    assert 5 <= (world.clock() - before).total_seconds() < 6


FLAWS: list[tuple[Flaw, str]] = [
    ("wrong_key", "for another key"),
    ("wrong_subject", "changed the subject"),
    ("other_issuer", "of another issuer"),
    ("expired", "not valid now"),
]


@pytest.mark.parametrize(("flaw", "text"), FLAWS)
async def test_a_wrong_certificate_is_neither_handed_on_nor_kept(world: Fakes, flaw: Flaw, text: str) -> None:
    device = world.device()
    world.upstream.flaw = flaw
    await refused(world, device, UpstreamRefused, text)
    assert world.ledger.read(device.id).certificates == ()
    world.upstream.flaw = None
    born = await world.birth(device)
    assert born.issued.certificate.serial == f"{world.ca.issued[-1].serial_number:x}"


@pytest.mark.parametrize(("flaw", "text"), FLAWS)
async def test_wrong_certificates_cost_no_more_than_the_daily_limit(flaw: Flaw, text: str) -> None:
    world = fakes(daily_limit=3)
    device = world.device()
    world.upstream.flaw = flaw
    for _ in range(3):
        await refused(world, device, UpstreamRefused, text)
        await asyncio.sleep(10)
    await refused(world, device, Throttled)
    assert len(world.ca.issued) == 3


async def test_a_wrong_certificate_that_the_look_up_finds_does_not_wedge_the_claim(world: Fakes) -> None:
    device = world.device()
    world.upstream.flaw = "wrong_subject"
    world.upstream.behaves = ["lost_after"]
    await refused(world, device, OutcomeUnknown)
    await refused(world, device, UpstreamRefused, "changed the subject")
    world.upstream.flaw = None
    await world.birth(device)


async def test_a_claim_that_cannot_be_mended_after_a_fault_ends_with_its_lease(world: Fakes) -> None:
    """The ledger fails just when the outcome was to be written down."""
    device = world.device()
    world.calls.fail("ledger.release", lambda: Unavailable("no", retry_after=2))
    world.upstream.behaves = ["refuse"]
    await refused(world, device, UpstreamRefused)
    before = world.clock()
    await refused(world, device, Unavailable, "being worked on")
    await asyncio.sleep(5)
    await refused(world, device, Unavailable, "being worked on")
    await world.birth(device)
    assert 29 < (world.clock() - before).total_seconds() < 31
