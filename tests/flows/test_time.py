"""A device waits thirty seconds at most, for everything together: no call that hangs makes it wait longer than 25."""

import asyncio
from collections.abc import Awaitable

import pytest

from shared.core.errors import OutcomeUnknown, Refusal, Unavailable
from shared.core.est import Operation
from shared.core.principal import Operator
from shared.core.profile import IndividualEnrollment
from shared.flows.enroll import Enrolled, Waiting
from shared.flows.issue import ISSUE_SECONDS, Asked
from shared.flows.once import LEASE
from tests.fakes.world import Fakes, fakes

pytestmark = pytest.mark.anyio


async def timed(answer: Awaitable[Enrolled | Waiting]) -> tuple[float, Enrolled | Waiting | Refusal]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        outcome: Enrolled | Waiting | Refusal = await answer
    except Refusal as refusal:
        outcome = refusal
    return loop.time() - began, outcome


@pytest.mark.parametrize("issued", [False, True])
async def test_a_ca_that_hangs_is_not_waited_for_and_then_looked_up(world: Fakes, *, issued: bool) -> None:
    device = world.device()
    world.upstream.behaves = ["hang_after" if issued else "hang"]
    seconds, outcome = await timed(world.post(device))
    assert isinstance(outcome, OutcomeUnknown)
    assert outcome.device_id == "dev-1"
    assert seconds == pytest.approx(23)
    await asyncio.sleep(outcome.retry_after)
    seconds, outcome = await timed(world.post(device))
    assert isinstance(outcome, Enrolled)
    assert seconds < 23
    assert len(world.ca.issued) == 1


async def test_every_one_of_many_that_ask_at_once_has_an_answer_in_time(world: Fakes) -> None:
    """The first waits for the CA, the others for the first."""
    device = world.device()
    world.upstream.behaves = ["hang"] * 3
    answers = await asyncio.gather(*(timed(world.post(device)) for _ in range(4)))
    assert max(seconds for seconds, _ in answers) < 25
    assert all(isinstance(outcome, Refusal) for _, outcome in answers)
    assert world.upstream.orders == 1


async def test_many_devices_that_wait_for_a_chain_that_hangs_have_an_answer_in_time(world: Fakes) -> None:
    """They share one fetch: nobody waits for the next one's turn."""
    world.source.seconds = 3600
    answers = await asyncio.gather(*(timed(world.post(world.device(f"dev-{number}"))) for number in range(9)))
    assert {round(seconds) for seconds, _ in answers} == {15}
    assert all(isinstance(outcome, Unavailable) for _, outcome in answers)
    assert world.calls.count("chain.fetch") == 1
    assert world.upstream.orders == 0


async def test_a_device_that_gives_up_on_the_chain_does_not_end_the_fetch_for_the_others(world: Fakes) -> None:
    world.source.seconds = 10
    impatient = asyncio.create_task(world.enroll.ca_certificates(""))
    await asyncio.sleep(1)
    patient = asyncio.create_task(world.enroll.ca_certificates(""))
    await asyncio.sleep(1)
    impatient.cancel()
    assert len(await patient) == 2
    assert world.calls.count("chain.fetch") == 1


async def test_dps_that_hangs_is_left_to_the_settle_queue() -> None:
    world = fakes(dps=IndividualEnrollment())
    world.upstream.seconds = 10
    device = world.device()
    world.calls.meanwhile["enrollments.read"] = lambda: asyncio.sleep(3600)
    seconds, outcome = await timed(world.post(device))
    assert isinstance(outcome, Enrolled)
    assert seconds == pytest.approx(16)
    assert world.work.settling == [("dev-1", "devices")]


async def test_neither_dps_nor_the_queue_is_waited_for_beyond_the_time_of_the_device() -> None:
    world = fakes(dps=IndividualEnrollment())
    world.upstream.seconds = 10
    device = world.device()
    for name in ("enrollments.read", "work.settle"):
        world.calls.meanwhile[name] = lambda: asyncio.sleep(3600)
    seconds, outcome = await timed(world.post(device))
    assert isinstance(outcome, Unavailable)
    assert seconds == pytest.approx(20)
    world.calls.meanwhile.clear()
    await world.birth(device)
    assert len(world.ca.issued) == 1


async def test_nobody_who_asks_past_est_waits_longer_than_a_claim_is_held(world: Fakes) -> None:
    """Or whoever comes after it would find somebody still at work, and order a second certificate."""
    device = world.device()
    operator = Operator("factory", device.id)
    asked = Asked(device.id, operator, Operation.SIMPLEENROLL, device.request(), source="rest")
    world.upstream.behaves, began = ["hang"], world.clock()
    with pytest.raises(OutcomeUnknown):
        await world.issue.issue(world.profile, asked)
    assert (world.clock() - began).total_seconds() == ISSUE_SECONDS < LEASE.total_seconds()
