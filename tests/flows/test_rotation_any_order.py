"""Whatever happens in whatever order, the certificate that a device uses is let in by its hub.

A device of two kinds plays: one that uses the same certificate for EST and for its hub, and Azure's own client, which
has another one of the same name for EST. Renewals, registrations, connections, deliveries of the settle queue (early,
twice, late), the passing of time, failing calls and dying processes come at random.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.allocation import Registration
from shared.core.errors import Refusal, Unavailable
from shared.core.fleet import LedgerCertificate
from shared.core.identity import registration_key
from shared.core.profile import GroupEnrollment, IndividualEnrollment
from tests.fakes.calls import Calls, Crash
from tests.fakes.clock import IdleLoop
from tests.fakes.devices import Device
from tests.fakes.world import HUB_HOSTS, Fakes, fakes

HUB = "hub-a"
GRACE = timedelta(hours=24)

type Act = Literal[
    "renew", "renew with the old one", "renew the EST identity", "change over", "register", "register unseen",
    "connect", "report and connect", "created again", "deliver", "deliver early", "deliver out of turn",
    "wait", "wait long",
]  # fmt: skip
type Trouble = Literal["", "down before", "down after", "dies before", "dies after"]

ACTS: tuple[Act, ...] = Act.__value__.__args__
TROUBLES: tuple[Trouble, ...] = Trouble.__value__.__args__


@dataclass(frozen=True)
class Step:
    act: Act
    trouble: Trouble
    call: int


STEPS = st.builds(
    Step, st.sampled_from(ACTS), st.just("") | st.just("") | st.sampled_from(TROUBLES), st.integers(0, 12)
)


@dataclass
class Player:
    """`using` is what the device connects to its hub with, `held` what it has been given since; `est` asks for more."""

    world: Fakes
    separate: bool
    device: Device
    est: LedgerCertificate
    using: LedgerCertificate
    held: LedgerCertificate | None = None
    asked: datetime | None = None
    sequence: int = 0
    messages: list[datetime] = field(default_factory=list)

    async def play(self, step: Step) -> None:
        calls = self.world.calls
        if step.trouble:
            error: Callable[[], BaseException] = Crash if step.trouble.startswith("dies") else _down
            moment: Literal["before", "after"] = "before" if step.trouble.endswith("before") else "after"
            calls.fail_at(len(calls.made) + step.call, error, moment=moment)
        try:
            await self._act(step.act)
        except (Crash, Refusal):
            self.world.restart()
        calls.faults.clear()
        self._collect()

    def _collect(self) -> None:
        sent = self.world.work.take("settle")
        self.messages += [self.world.clock() + timedelta(seconds=one.delay) for one in sent]

    async def _act(self, act: Act) -> None:
        acts: dict[Act, Callable[[], Awaitable[None]]] = {
            "renew": self._change_over_and_renew,
            "renew with the old one": self._renew,
            "renew the EST identity": self._renew_est,
            "change over": self._change_over,
            "register": lambda: self._register(self.using, shown=True),
            "register unseen": lambda: self._register(self.using, shown=False),
            "connect": self._connect,
            "report and connect": self._report,
            "created again": self._created,
            "deliver": lambda: self._deliver(lambda due: due <= self.world.clock()),
            "deliver early": lambda: self._deliver(lambda _: True),
            "deliver out of turn": self._settle,
            "wait": lambda: self._wait(timedelta(hours=3)),
            "wait long": lambda: self._wait(timedelta(hours=25)),
        }
        await acts[act]()

    async def _change_over_and_renew(self) -> None:
        """What a device with one certificate comes with, it also connects with."""
        if not self.separate:
            await self._change_over()
        await self._renew()

    async def _renew_est(self) -> None:
        if self.separate:
            self.est = await self._ask(self.est)

    async def _report(self) -> None:
        self.world.hubs.twin(HUB, self.device.id).reported = self.using.certificate.serial
        await self._connect()

    async def _created(self) -> None:
        await self.world.provision.device_created(HUB, self.device.id)

    async def _renew(self) -> None:
        self.asked = self.world.clock()
        self.held = await self._ask(self.est if self.separate else self.using)

    async def _ask(self, presented: LedgerCertificate) -> LedgerCertificate:
        return (await self.world.birth(self.device.with_issued(presented).with_new_key())).issued

    async def _change_over(self) -> None:
        """Azure's client registers before it commits; others connect, and register when their hub says no."""
        new = self.held
        if new is None:
            return
        if self.separate or not self._let_in(new):
            await self._register(new, shown=True)
        self.using, self.held = new, None

    async def _register(self, certificate: LedgerCertificate, *, shown: bool) -> None:
        thumbprint = certificate.certificate.thumbprint
        linked = tuple(HUB_HOSTS.values())
        asked = Registration(self.device.id, "birthcert", linked, thumbprint if shown else "", HUB_HOSTS[HUB])
        await self.world.provision.allocate(asked)
        self.world.hubs.put(HUB, self.device.id, thumbprint, thumbprint)

    async def _connect(self) -> None:
        self.sequence += 1
        at, number = self.world.clock(), f"{self.sequence:064x}"
        await self.world.provision.device_connected(HUB, self.device.id, number, at, connected=True)

    async def _deliver(self, due: Callable[[datetime], bool]) -> None:
        """What fails is delivered again."""
        for message in [one for one in self.messages if due(one)]:
            await self._settle()
            self.messages.remove(message)

    async def _settle(self) -> None:
        await self.world.rotate.settle(self.device.id, "devices")

    async def _wait(self, step: timedelta) -> None:
        """No device waits longer than the grace with a certificate that it was given, or asked for in vain."""
        if self.asked is not None and self.world.clock() + step > self.asked + GRACE - timedelta(hours=2):
            self._collect()
            await self._deliver(lambda _: True)
            if self.held is None:
                await self._renew()
            await self._change_over()
            self.asked = None
        self.world.clock.forward(seconds=step.total_seconds())

    def _let_in(self, certificate: LedgerCertificate) -> bool:
        return self.world.hubs.lets_in(HUB, self.device.id, certificate.certificate)

    def check(self, step: Step) -> None:
        there = self.world.hubs.identities[HUB, self.device.id]
        assert self._let_in(self.using), f"after {step}: {there} does not let in {self.using.certificate.thumbprint}"


def _down() -> Refusal:
    return Unavailable("down", retry_after=1)


async def start(*, separate: bool, individual: bool, late: bool) -> Player:
    """A device that lives in hub-a, with a lifetime that no play outlasts; its DeviceCreated may be `late`."""
    world = fakes(dps=IndividualEnrollment() if individual else GroupEnrollment("birthcert"), daily_limit=1000)
    world.ca.lifetime = timedelta(days=3650)
    world.source.calls = Calls()  # the chain is refreshed in the background, where a fault would hit nobody
    world.calls.turns = False
    device = world.device()
    est = (await world.birth(device)).issued
    using = (await world.birth(device.with_issued(est).with_new_key())).issued if separate else est
    player = Player(world, separate, device, est, using)
    world.enrollments.registrations[registration_key(device.id)] = HUB_HOSTS[HUB]
    thumbprint = using.certificate.thumbprint
    world.hubs.put(HUB, device.id, thumbprint, thumbprint)
    if not late:
        await world.provision.device_created(HUB, device.id)
    player._collect()
    return player


async def play(steps: list[Step], *, separate: bool, individual: bool, late: bool) -> Player:
    player = await start(separate=separate, individual=individual, late=late)
    for step in steps:
        await player.play(step)
        player.check(step)
    return player


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=40), st.booleans(), st.booleans(), st.booleans())
def test_the_certificate_in_use_is_let_in_at_every_moment(
    steps: list[Step], separate: bool, individual: bool, late: bool
) -> None:
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        runner.run(play(steps, separate=separate, individual=individual, late=late))


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=25), st.booleans(), st.booleans())
def test_in_the_end_all_is_settled(steps: list[Step], individual: bool, late: bool) -> None:
    """The device has changed over, the queue is worked off, and the old certificate is let in nowhere."""

    async def to_the_end() -> None:
        player = await play(steps, separate=False, individual=individual, late=late)
        step = Step("wait long", "", 0)
        for act in (
            "created again",
            "renew",
            "change over",
            "connect",
            "deliver early",
            "wait long",
            "deliver",
            "wait long",
            "deliver",
        ):
            await player.play(Step(act, "", 0))
            player.check(step)
        known = player.world.ledger.read(player.device.id)
        assert known.device is not None
        assert known.device.current == known.device.latest == player.using.certificate.serial
        there = player.world.hubs.identities[HUB, player.device.id]
        assert set(there.thumbprints) == {player.using.certificate.thumbprint}
        assert player.messages == []

    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        runner.run(to_the_end())
