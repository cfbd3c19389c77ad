"""Whatever happens to a device in whatever order: who is blocked is out everywhere, and nobody else is.

Births, renewals, registrations, connections, events and messages (late, twice, lost), operators, the CA, the passing of
time, failing calls, dying processes, and others at work between any two calls, all at random. Afterwards everything is
delivered and swept, and the end is compared with a model that knows only what was asked.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import pki
from shared.core.allocation import Registration
from shared.core.errors import Forbidden, OutcomeUnknown, Refusal, Unavailable
from shared.core.fleet import Block
from shared.core.profile import GroupEnrollment, IndividualEnrollment
from shared.core.revocation import Verb
from shared.flows.rotate import PROVEN_SECONDS
from tests.fakes.calls import Calls, Crash, Moment
from tests.fakes.clock import START, IdleLoop
from tests.fakes.digicert import spki_sha256
from tests.fakes.world import Fakes, fakes
from tests.flows.living import LINKED, OTHERS, OWN, WAITS, Act, Life, act

MOMENTS: tuple[Moment, ...] = ("before", "after")
AFTER: dict[Verb, Block] = {
    "hold": Block.HOLD,
    "restore": Block.NONE,
    "revoke": Block.REVOKED,
    "decommission": Block.REVOKED,
}


@dataclass(frozen=True)
class Beside:
    """What others do before the call of that number."""

    act: Act
    gap: int


@dataclass(frozen=True)
class Trouble:
    """What happens at the call of that number."""

    kind: Literal["down", "dies"]
    moment: Moment
    call: int


@dataclass(frozen=True)
class Step:
    """`pick` says which one, where there are several."""

    act: Act
    pick: int = 0
    beside: Beside | None = None
    trouble: Trouble | None = None


OFTEN: tuple[Act, ...] = ("renew", "ask again", "change over", "event", "message", "hold", "restore", "sweep")
ACTS: tuple[Act, ...] = (*OWN, *OTHERS, *WAITS, *OFTEN)
CALM = st.sampled_from([Step(what, pick) for what in ACTS for pick in range(4)])
TROUBLES = [(Trouble("down", moment, call), Trouble("dies", moment, call)) for moment in MOMENTS for call in range(16)]
TROUBLE = st.sampled_from([one for both in TROUBLES for one in both])
BESIDE = st.sampled_from([Beside(what, gap) for what in (*OWN, *OTHERS) for gap in range(13)])


def disturbed(step: Step, beside: Beside | None, trouble: Trouble | None) -> Step:
    """The device itself does one thing after the other."""
    both = beside is not None and beside.act in OWN and step.act not in OTHERS
    return replace(step, beside=None if both else beside, trouble=trouble)


STEPS = CALM | st.builds(disturbed, CALM, st.none() | BESIDE, st.none() | TROUBLE)

# The same in all plays; the root's signature is checked fast.
ROOT = pki.self_signed("Root CA", ec.SECP256R1(), START, 20 * pki.YEAR)
HIERARCHY = pki.Hierarchy(ROOT, pki.issuing_ca(ROOT, "Issuing CA", START))
DEVICE = fakes().device()


async def quietly(life: Life, what: Act, pick: int) -> None:
    """Whoever does it comes again, or somebody else does."""
    try:
        await act(life, what, pick)
    except (Crash, Refusal):
        life.restart()


async def play(life: Life, step: Step) -> None:
    calls = life.world.calls
    first = len(calls.made)
    beside, trouble, life.alone = step.beside, step.trouble, step.beside is None
    if beside is not None:
        calls.between[first + beside.gap] = lambda: quietly(life, beside.act, step.pick)
    if trouble is not None:
        error = Crash if trouble.kind == "dies" else lambda: down(calls)
        calls.fail_at(first + trouble.call, error, moment=trouble.moment)
    life.accepted = []
    await quietly(life, step.act, step.pick)
    calls.faults.clear()
    calls.between.clear()
    life.post.collect()
    reached = [AFTER[one] for one in life.accepted]
    if reached:
        life.blocks = {Block.REVOKED} if Block.REVOKED in (*reached, *life.blocks) else set(reached)
    life.told |= {one.id for one in life.known.outbox}


def down(calls: Calls) -> Refusal:
    """DigiCert ONE is "unavailable" only when it surely did nothing."""
    unknown = calls.made[-1] == "upstream.issue"
    return OutcomeUnknown("no answer", retry_after=1) if unknown else Unavailable("down", retry_after=1)


def check_moment(life: Life, step: Step) -> None:
    """The hub knows the certificate in use, whoever is at work; and a new one when the device gets it."""
    there = life.world.hubs.identities.get((life.dps.hub, life.factory.id))
    if there is None or life.using is None or life.block is Block.REVOKED:
        return
    needed = [life.using]
    if life.held is not None and step in [Step(what, step.pick) for what in ("renew", "renew with the old one")]:
        needed.append(life.held)
    for one in needed:
        own = one.certificate.thumbprint
        assert own in there.thumbprints, f"after {step}: {there} does not let in {own}"


async def end(life: Life) -> None:
    """Everything is delivered, replayed and swept; time passes."""
    for _ in range(2):
        await life.wait(timedelta(hours=1))
        life.post.replay()
        await life.post.deliver()
        assert (await life.post.app.sweep.run()).failures == ()
        await life.post.app.sync.run()
        await life.post.deliver()
        life.told |= {one.id for one in life.known.outbox}
    check_moment(life, Step("a minute"))
    check_model(life)
    await (check_let_in(life) if life.block is Block.NONE else check_shut_out(life))


def check_model(life: Life) -> None:
    known, block = life.known, life.block
    allowed = life.blocks | ({Block.REVOKED} if life.perhaps or life.doomed else set())
    assert block in allowed
    assert not (life.doomed and block is Block.NONE)
    assert known.saga is None or known.saga.next is None
    if known.device is not None and block is Block.NONE:
        waiting = [one for _, one in life.post.messages if one.queue == "settle"]
        assert known.device.rotating_since is None or waiting, "nobody will end the rotation"
        there = (life.dps.hub, life.factory.id) in life.world.hubs.identities
        assert known.device.hub == life.dps.hub or not there, "nobody knows where the device is"
    assert known.outbox == ()
    assert life.world.ledger.hints == {}
    assert life.told <= life.world.topic.ids
    for one in known.certificates:
        assert {f"issued-{one.certificate.serial}", f"renewed-{one.certificate.serial}"} & life.world.topic.ids
    if known.saga is not None:
        said = {"revoke": "revoked", "hold": "blocked", "restore": "restored", "decommission": "decommissioned"}
        assert f"{said[known.saga.verb]}-{known.saga.id}" in life.world.topic.ids
    live = {one.certificate.serial for one in known.certificates}
    assert set(life.world.digicert.revoked) == (live if block is Block.REVOKED else set())
    assert set(Counter(spki_sha256(one) for one in life.world.ca.issued).values()) <= {1}


async def check_shut_out(life: Life) -> None:
    world, device = life.world, life.factory.id
    for asking in (life.factory, *(life.factory.with_issued(one) for one in life.known.certificates)):
        assert await refused(world.birth(asking.with_new_key()))
    assert await refused(world.provision.allocate(Registration(device, "birthcert", LINKED)))
    assert world.enrollments.is_blocked(device)
    there = [one for (_, name), one in world.hubs.identities.items() if name == device]
    assert not any(one.enabled for one in there)
    saga = life.known.saga
    assert saga is not None
    assert not (saga.verb == "decommission" and there)


async def refused(asking: Awaitable[object]) -> bool:
    try:
        await asking
    except Forbidden:
        return True
    return False


async def check_let_in(life: Life) -> None:
    """The device comes back, renews and changes over, without anybody's help."""
    world, device = life.world, life.factory.id
    assert all(one.enabled for one in world.hubs.identities.values())
    assert not world.enrollments.is_blocked(device)
    if isinstance(world.profile.dps, GroupEnrollment):
        assert world.enrollments.documents == {}
    await life.ask_again()
    if life.using is None and life.held is None:
        await life.be_born()
    if life.using is None or not life.let_in(life.using):
        await life.register(life.held or life.using, LINKED, 1)
        life.dps_writes()
        await life.post.deliver()
    assert life.using is not None
    assert life.let_in(life.using)
    old = life.using
    await life.renew()
    assert life.held is not None
    assert life.let_in(old)
    assert life.let_in(life.held)
    assert all(life.dps.attests(one) for one in (old, life.held))
    await life.change_over()
    life.connects(here=True, reports=True)
    await life.post.deliver()
    world.clock.forward(seconds=PROVEN_SECONDS)
    await life.post.deliver()
    assert life.let_in(life.using)
    assert not life.let_in(old)
    assert life.known.device is not None
    assert life.known.device.current == life.known.device.latest == life.using.certificate.serial


async def whole(steps: list[Step], world: Fakes, *, live: bool) -> None:
    world.ca.lifetime, world.ca.hierarchy = timedelta(days=3650), HIERARCHY
    world.ca.announced[:] = [HIERARCHY.root.certificate, HIERARCHY.ica.certificate]
    world.source.calls = Calls()  # the chain is refreshed in the background, where a fault would hit nobody
    world.calls.turns = False
    life = Life(world, DEVICE)
    await life.be_born()
    if live:
        await life.change_over()
        await life.post.deliver()
    for step in steps:
        await play(life, step)
        check_moment(life, step)
    await end(life)


@pytest.mark.parametrize("individual", [False, True])
@settings(max_examples=1000, deadline=None)
@given(steps=st.lists(STEPS, min_size=4, max_size=20), live=st.booleans(), revoking=st.booleans())
def test_who_is_blocked_is_out_everywhere_and_nobody_else_is(
    *, individual: bool, steps: list[Step], live: bool, revoking: bool
) -> None:
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        dps = IndividualEnrollment() if individual else GroupEnrollment("birthcert")
        world = fakes(dps=dps, daily_limit=1000, deleted_devices="revoke" if revoking else "ignore")
        runner.run(whole(steps, world, live=live))
