"""A device is blocked everywhere, put on hold, let in again, taken out of service."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from shared.core.errors import Conflict, Misconfigured, NotFound, Throttled, Unavailable, UpstreamRefused
from shared.core.fleet import Block
from shared.core.identity import DeviceId
from shared.core.profile import IndividualEnrollment
from shared.core.revocation import Reason, Verb
from shared.flows.ports.hubs import HubIdentity
from shared.flows.revoke import BEGIN_SECONDS, CONFIRM_SECONDS
from tests.fakes.revocation import DEVICE, RevocationWorld

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> RevocationWorld:
    return RevocationWorld()


def events(world: RevocationWorld) -> list[str]:
    return [one.kind for one in world.known().outbox]


async def test_a_revoked_device_is_out_of_everything(world: RevocationWorld) -> None:
    device = world.device()
    saga = await world.begin(device)
    assert saga.next is None
    row = world.row()
    assert (row.block, row.block_reason, row.blocked_at) == (Block.REVOKED, "keyCompromise", world.clock())
    assert world.enrollments.is_blocked(device)
    assert world.enabled() is False
    assert world.hubs.reasons["hub-a", device] == "Birthcert: revoke, keyCompromise"
    (held,) = world.known().certificates
    assert held.status == "revoked"
    assert world.digicert.revoked == {held.certificate.serial: Reason.KEY_COMPROMISE}
    assert events(world) == ["blocked", "revoked"]
    assert world.known().outbox[0].data == {"verb": "revoke", "reason": "keyCompromise", "caller": "operator"}


async def test_the_ledger_knows_first_and_access_ends_before_digicert_one_is_told(world: RevocationWorld) -> None:
    await world.begin(world.device())
    order = [one for one in world.calls.made if one not in ("ledger.load", "ledger.past_saga", "hubs.identity")]
    assert order == [
        "ledger.commit",
        "work.publish",
        "enrollments.block",
        "ledger.commit",
        "hubs.set_enabled",
        "ledger.commit",
        "digicert.revoke",
        "ledger.commit",
        "work.saga",
        "ledger.commit",
        "work.publish",
    ]


async def test_every_live_certificate_is_revoked_and_no_dead_one(world: RevocationWorld) -> None:
    ended, old, new = world.certify(days=0.1), world.certify(), world.certify()
    gone = replace(world.certify(), status="revoked")
    device = world.device("dev-1", ended, replace(old, status="superseded"), gone, new)
    world.clock.forward(days=1)
    await world.begin(device)
    assert set(world.digicert.revoked) == {old.certificate.serial, new.certificate.serial}


async def test_a_hold_tells_digicert_one_nothing_and_is_undone(world: RevocationWorld) -> None:
    device = world.device()
    await world.begin(device, "hold", Reason.CERTIFICATE_HOLD)
    assert (world.row().block, world.enabled(), world.enrollments.is_blocked(device)) == (Block.HOLD, False, True)
    assert events(world) == ["blocked"]
    await world.begin(device, "restore", Reason.UNSPECIFIED)
    assert (world.row().block, world.row().block_reason, world.row().blocked_at) == (Block.NONE, "", None)
    assert (world.enabled(), world.enrollments.is_blocked(device)) == (True, False)
    assert world.digicert.revoked == {}
    assert events(world) == ["blocked", "restored"]
    assert [one.status for one in world.known().certificates] == ["issued"]


async def test_a_restored_device_with_an_enrollment_of_its_own_is_placed_again() -> None:
    world = RevocationWorld(replace(RevocationWorld().profile, dps=IndividualEnrollment()))
    device = world.device()
    await world.begin(device, "hold")
    assert world.work.settling == []
    await world.begin(device, "restore")
    assert world.work.settling == [(device, "devices")]


async def test_a_device_on_hold_may_be_revoked(world: RevocationWorld) -> None:
    device = world.device()
    await world.begin(device, "hold")
    assert (await world.begin(device)).next is None
    assert (world.row().block, len(world.digicert.revoked)) == (Block.REVOKED, 1)
    assert events(world) == ["blocked", "blocked", "revoked"]


async def test_decommission_removes_the_identity_also_after_a_revocation(world: RevocationWorld) -> None:
    device = world.device()
    await world.begin(device)
    assert (await world.begin(device, "decommission")).next is None
    assert world.enabled() is None
    assert world.enrollments.is_blocked(device)
    assert events(world) == ["blocked", "decommissioned", "revoked"]
    again = await world.revoke.begin(
        device, "decommission", Reason.UNSPECIFIED, caller="x", comment="", saga_id="another"
    )
    assert again.id == "id-decommission"


@pytest.mark.parametrize(
    ("first", "verb", "text"),
    [
        (None, "restore", "not on hold"),
        ("revoke", "restore", "cannot be undone"),
        ("decommission", "restore", "cannot be undone"),
        ("revoke", "hold", "revoked already"),
    ],
)
async def test_what_the_state_forbids_is_a_conflict(
    world: RevocationWorld, first: Verb | None, verb: Verb, text: str
) -> None:
    device = world.device()
    if first is not None:
        await world.begin(device, first)
    before = world.known()
    with pytest.raises(Conflict, match=text):
        await world.begin(device, verb)
    assert world.known() == before


@pytest.mark.parametrize(("first", "second"), [("revoke", "revoke"), ("hold", "hold"), ("decommission", "revoke")])
async def test_asking_for_what_is_done_gives_the_same_outcome(
    world: RevocationWorld, first: Verb, second: Verb
) -> None:
    device = world.device()
    done = await world.begin(device, first)
    again = await world.revoke.begin(
        device, second, Reason.UNSPECIFIED, caller="another", comment="", saga_id="another"
    )
    assert again == done


async def test_the_same_request_again_is_the_same_saga_also_when_others_came_after(world: RevocationWorld) -> None:
    device = world.device()
    hold = await world.begin(device, "hold")
    assert await world.begin(device, "hold") == hold
    await world.begin(device, "restore")
    assert await world.begin(device, "hold") == hold
    assert world.row().block is Block.NONE


async def test_a_request_id_stands_for_one_request(world: RevocationWorld) -> None:
    device = world.device()
    await world.begin(device, "hold")
    for _ in range(2):
        with pytest.raises(Conflict, match="take a new one"):
            await world.revoke.begin(device, "revoke", Reason.UNSPECIFIED, caller="", comment="", saga_id="id-hold")
        await world.begin(device, "restore")


async def test_a_device_that_is_not_known_is_not_found(world: RevocationWorld) -> None:
    with pytest.raises(NotFound):
        await world.begin(DeviceId("dev-9"))
    assert await world.revoke.advance(DeviceId("dev-9")) is None


async def test_a_device_without_a_saga_has_nothing_to_go_on_with(world: RevocationWorld) -> None:
    assert await world.revoke.advance(world.device()) is None


async def test_a_device_is_looked_for_in_every_hub_of_its_profile(world: RevocationWorld) -> None:
    """It has moved, and the event that tells of it has not come."""
    device = world.device()
    del world.hubs.identities["hub-a", device]
    world.hubs.put("hub-b", device, "aa")
    await world.begin(device)
    assert world.enabled(hub="hub-b") is False


async def test_a_device_whose_label_is_gone_is_blocked_where_the_ledger_knows_it(world: RevocationWorld) -> None:
    device = world.device()
    world.ledger.put(device, replace(world.row(), label="old", hub="HUB-A"))
    world.revocations["old"] = world.digicert
    await world.begin(device, "hold")
    assert world.enabled() is False
    await world.begin(device, "restore")
    assert world.enabled() is True


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


async def test_a_done_saga_is_confirmed_later_and_what_slipped_through_is_made_up_for(world: RevocationWorld) -> None:
    """A birth, a registration or a restore was under way when the block came."""
    device = world.device()
    done = await world.begin(device)
    assert [(one.queue, one.delay) for one in world.work.of("saga")] == [("saga", CONFIRM_SECONDS)]
    late = world.certify()
    world.add(device, late)
    world.hubs.put("hub-b", device, "aa")
    del world.enrollments.documents[next(iter(world.enrollments.documents))]
    world.calls.fail("enrollments.block", lambda: Unavailable("no", retry_after=1))
    with pytest.raises(Unavailable):
        await world.revoke.advance(device)
    assert await world.revoke.advance(device) == done
    assert world.enrollments.is_blocked(device)
    assert world.enabled(hub="hub-b") is False
    assert late.certificate.serial in world.digicert.revoked
    assert {one.status for one in world.known().certificates} == {"revoked"}
    assert events(world) == ["blocked", "revoked"]


async def test_a_saga_that_another_overtakes_gives_way(world: RevocationWorld) -> None:
    """The revocation begins while the hold is at DPS."""
    device = world.device()

    async def revoked() -> None:
        world.calls.meanwhile.clear()
        assert (await world.begin(device)).next is None

    world.calls.meanwhile["enrollments.block"] = revoked
    assert (await world.begin(device, "hold")).id == "id-revoke"
    assert (world.row().block, world.enabled()) == (Block.REVOKED, False)


async def test_a_block_that_comes_while_a_hold_is_undone_wins(world: RevocationWorld) -> None:
    """DPS lets the device in again after it was blocked: the saga that gave way looks once more."""
    device = world.device()
    await world.begin(device, "hold")

    async def revoked() -> None:
        world.calls.meanwhile.clear()
        await world.begin(device)

    world.calls.meanwhile["enrollments.unblock"] = revoked
    await world.begin(device, "restore")
    assert (world.row().block, world.enabled(), world.enrollments.is_blocked(device)) == (Block.REVOKED, False, True)


async def test_two_who_go_on_with_a_saga_at_once_do_it_once(world: RevocationWorld) -> None:
    device = world.device()
    world.calls.fail("enrollments.block", lambda: Unavailable("no", retry_after=1))
    await world.begin(device)
    await asyncio.gather(world.revoke.advance(device), world.revoke.advance(device))
    assert world.saga().next is None
    assert events(world) == ["blocked", "revoked"]


async def test_a_device_that_changes_all_the_time_is_tried_later(world: RevocationWorld) -> None:
    device = world.device()

    async def touched() -> None:
        world.ledger.put(device, world.row())

    world.calls.meanwhile["ledger.commit"] = touched
    with pytest.raises(Unavailable, match="changing too fast"):
        await world.begin(device)
    assert world.row().block is Block.NONE
    world.calls.meanwhile.clear()
    world.calls.fail("enrollments.block", lambda: Unavailable("no", retry_after=1))
    await world.begin(device)
    world.calls.meanwhile["ledger.commit"] = touched
    with pytest.raises(Unavailable, match="changing too fast"):
        await world.revoke.advance(device)


async def test_a_device_whose_sagas_overtake_each_other_is_tried_later(world: RevocationWorld) -> None:
    device = world.device()
    world.calls.fail("enrollments.block", lambda: Unavailable("no", retry_after=1))
    await world.begin(device)
    count = itertools.count()

    async def overtaken() -> None:
        world.ledger.put(device, replace(world.saga(), id=f"id-{next(count)}"))

    world.calls.meanwhile["enrollments.block"] = overtaken
    with pytest.raises(Unavailable, match="changing too fast"):
        await world.revoke.advance(device)


async def test_an_identity_that_changes_all_the_time_is_tried_later(world: RevocationWorld) -> None:
    device = world.device()

    async def touched() -> None:
        world.hubs.put("hub-a", device, "aa")

    world.calls.meanwhile["hubs.set_enabled"] = touched
    saga = await world.begin(device)
    assert saga.next is not None
    assert "changing too fast" in saga.next.error


async def test_misconfiguration_is_told_with_its_cause(world: RevocationWorld) -> None:
    world.calls.fail("enrollments.block", lambda: Misconfigured("not set up", cause="DPS answers 403"))
    saga = await world.begin(world.device(DEVICE))
    assert saga.steps[0].error == "not set up: DPS answers 403"
