"""A block while DPS, a hub, DigiCert ONE, queue or ledger are down: the rest is done, and nothing is forgotten."""

import asyncio
from dataclasses import replace

import pytest

from shared.core.errors import Misconfigured, Throttled, Unavailable, UpstreamRefused
from shared.core.fleet import Block
from shared.flows.ports.hubs import HubIdentity
from shared.flows.revoke import BEGIN_SECONDS
from tests.fakes.revocation import DEVICE, RevocationWorld

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> RevocationWorld:
    return RevocationWorld()


def events(world: RevocationWorld) -> list[str]:
    return [one.kind for one in world.known().outbox]


async def test_a_system_that_is_down_does_not_hold_up_the_others(world: RevocationWorld) -> None:
    """The hub's part is done at once, and done again after DPS's: a registration in between could undo it."""
    device = world.device()
    world.calls.fail("enrollments.block", lambda: Unavailable("DPS is down", retry_after=7, cause="503"))
    saga = await world.begin(device)
    assert world.enabled() is False
    assert len(world.digicert.revoked) == 1
    assert [(step.name, step.done_at is not None) for step in saga.steps] == [
        ("dps", False),
        ("hub", False),
        ("digicert", True),
        ("announce", False),
    ]
    assert (saga.steps[0].failures, saga.steps[0].error) == (1, "DPS is down: 503")
    assert [one.queue for one in world.work.messages] == ["publish", "saga"]
    world.hubs.put("hub-a", device, "aa")
    world.hubs.identities["hub-a", device] = HubIdentity("aa", "", enabled=True)
    done = await world.revoke.advance(device)
    assert done is not None
    assert done.next is None
    assert world.enabled() is False
    assert done.steps[0].error == ""


@pytest.mark.parametrize("name", ["enrollments.block", "hubs.set_enabled", "digicert.revoke"])
async def test_a_step_is_tried_until_it_succeeds(world: RevocationWorld, name: str) -> None:
    device = world.device()
    world.calls.fail(name, lambda: Throttled("later", retry_after=9), times=3)
    await world.begin(device)
    for _ in range(2):
        with pytest.raises(Unavailable) as raised:
            await world.revoke.advance(device)
        assert raised.value.retry_after == 9
    done = await world.revoke.advance(device)
    assert done is not None
    assert done.next is None
    assert max(step.failures for step in done.steps) >= 2


async def test_a_refusal_that_does_not_say_when_is_tried_again_in_a_minute(world: RevocationWorld) -> None:
    device = world.device()
    world.calls.fail("digicert.revoke", lambda: UpstreamRefused("the CA refused", cause="403"), times=2)
    await world.begin(device)
    with pytest.raises(Unavailable) as raised:
        await world.revoke.advance(device)
    assert raised.value.retry_after == 60


async def test_of_two_certificates_the_one_that_could_be_revoked_is_written_down(world: RevocationWorld) -> None:
    device = world.device("dev-1", world.certify(), world.certify())
    world.calls.fail("digicert.revoke", lambda: Unavailable("no", retry_after=1))
    saga = await world.begin(device)
    assert sorted(one.status for one in world.known().certificates) == ["issued", "revoked"]
    assert saga.next is not None
    assert saga.next.name == "digicert"
    await world.revoke.advance(device)
    assert {one.status for one in world.known().certificates} == {"revoked"}


async def test_a_label_that_cannot_revoke_says_what_it_needs(world: RevocationWorld) -> None:
    world.revocations.clear()
    saga = await world.begin(world.device())
    assert saga.next is not None
    assert "profiles.devices.upstream.lookup" in saga.next.error
    assert world.enabled() is False


async def test_an_unknown_hub_is_told_and_the_rest_is_done(world: RevocationWorld) -> None:
    device = world.device()
    world.ledger.put(device, replace(world.row(), hub="hub-of-old"))
    saga = await world.begin(device)
    assert saga.next is not None
    assert saga.next.name == "hub"
    assert world.enabled() is False
    assert len(world.digicert.revoked) == 1


async def test_a_queue_that_is_down_keeps_nothing_from_being_done(world: RevocationWorld) -> None:
    device = world.device()
    world.calls.fail("work.publish", lambda: Unavailable("no", retry_after=1), times=99)
    assert (await world.begin(device)).next is None
    assert events(world) == ["blocked", "revoked"]


async def test_when_all_is_down_the_saga_is_told_as_it_was_begun(world: RevocationWorld) -> None:
    device = world.device()
    for name in ("enrollments.block", "work.saga"):
        world.calls.fail(name, lambda: Unavailable("no", retry_after=1), times=9)
    world.calls.fail("ledger.load", lambda: Unavailable("no", retry_after=1), times=9)
    with pytest.raises(Unavailable):
        await world.begin(device)
    assert world.known().saga is None
    world.calls.faults.pop()
    begun = await world.begin(device)
    assert begun.id == "id-revoke"
    assert world.row().block is Block.REVOKED


async def test_a_ledger_that_fails_after_the_block_leaves_the_rest_to_the_queue(world: RevocationWorld) -> None:
    device = world.device()
    world.calls.fail("work.publish", asyncio.CancelledError)
    with pytest.raises(asyncio.CancelledError):
        await world.begin(device)
    assert world.row().block is Block.REVOKED
    assert world.ledger.hints
    world.calls.made.clear()
    world.calls.fail_at(2, lambda: Unavailable("no", retry_after=1), moment="before")
    world.calls.fail_at(3, lambda: Unavailable("no", retry_after=1), moment="before")
    world.calls.fail_at(4, lambda: Unavailable("no", retry_after=1), moment="before")
    assert (await world.begin(device)).next is not None
    assert world.calls.made == ["ledger.load", "ledger.past_saga", "ledger.load", "work.saga", "ledger.load"]
    done = await world.revoke.advance(device)
    assert done is not None
    assert done.next is None


async def test_an_operator_does_not_wait_for_a_system_that_hangs(world: RevocationWorld) -> None:
    device = world.device()
    loop = asyncio.get_running_loop()

    class Hanging:
        async def revoke(self, *_: object) -> None:
            await asyncio.sleep(3600)

    world.revocations["devices"] = Hanging()  # type: ignore[assignment]
    begun = loop.time()
    saga = await world.begin(device)
    assert loop.time() - begun <= BEGIN_SECONDS + 0.1
    assert saga.next is not None
    assert saga.next.name == "digicert"
    assert len(world.work.of("saga")) == 1


async def test_misconfiguration_is_told_with_its_cause(world: RevocationWorld) -> None:
    world.calls.fail("enrollments.block", lambda: Misconfigured("not set up", cause="DPS answers 403"))
    saga = await world.begin(world.device(DEVICE))
    assert saga.steps[0].error == "not set up: DPS answers 403"
