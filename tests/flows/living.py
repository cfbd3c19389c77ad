"""A device at random: what it does, what others do to it and around it, and what was asked of whom.

For tests/flows/test_life_any_order.py, which lets it happen and compares the end.
"""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from shared.core.errors import Conflict, Forbidden, Refusal, Unavailable
from shared.core.events import DeviceConnection
from shared.core.fleet import Block, LedgerCertificate, Snapshot
from shared.core.ops import Command
from shared.core.revocation import Reason, Verb
from tests.fakes.calls import Crash
from tests.fakes.devices import Device
from tests.fakes.life import Dps, Flows, Post
from tests.fakes.revocation import FakeRevokedList
from tests.fakes.world import HUB_HOSTS, Fakes

GRACE = timedelta(hours=24)
LINKED = tuple(HUB_HOSTS.values())

# The device does one thing after the other; others do theirs at any time.
type Own = Literal[
    "be born", "renew", "renew with the old one", "ask again", "change over", "register", "register with the old one",
    "register elsewhere", "connect", "report and connect", "disconnect",
]  # fmt: skip
type Others = Literal[
    "DPS writes", "event", "event twice", "message", "message twice", "lose a message", "settle", "sweep", "sync",
    "lose the identity", "identity by hand", "CA revokes", "ask to renew", "hold", "restore", "revoke", "decommission",
]  # fmt: skip
type Wait = Literal["a minute", "an hour", "a day"]
type Act = Own | Others | Wait

OWN: tuple[Own, ...] = Own.__value__.__args__
OTHERS: tuple[Others, ...] = Others.__value__.__args__
WAITS: tuple[Wait, ...] = Wait.__value__.__args__
VERBS: dict[str, Verb] = {"hold": "hold", "restore": "restore", "revoke": "revoke", "decommission": "decommission"}


# Some of it takes time.
type Doing = Callable[[], Awaitable[None] | None]


@dataclass
class Life:
    """`using` is what the device connects with, `held` what it has been given since, `asked` since when it waits.

    The model: `blocks` are the states that the accepted wishes allow; `doomed` when the CA has revoked a certificate,
    `perhaps` when an identity was deleted by hand; `told` are the events that ever stood in the outbox.
    """

    world: Fakes
    factory: Device
    using: LedgerCertificate | None = None
    held: LedgerCertificate | None = None
    last: Device | None = None
    unanswered: Device | None = None
    asked: datetime | None = None
    sequence: int = 0
    keys: int = 0
    accepted: list[Verb] = field(default_factory=list)
    blocks: set[Block] = field(default_factory=lambda: {Block.NONE})
    doomed: bool = False
    perhaps: bool = False
    alone: bool = True
    told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.dps = Dps(self.world, self.factory.id)
        self.listed = FakeRevokedList(self.world.calls, page_size=50)
        self.post = Post(self.world, Flows(self.world, self.listed))

    def restart(self) -> None:
        self.world.restart()
        self.post.app = Flows(self.world, self.listed)

    @property
    def known(self) -> Snapshot:
        return self.world.ledger.read(self.factory.id)

    @property
    def block(self) -> Block:
        return self.known.device.block if self.known.device else Block.NONE

    # What the device does.

    async def ask(self, device: Device) -> None:
        before, self.asked, self.held = self.block, self.world.clock(), None
        self.last = self.unanswered = device
        try:
            got = (await self.world.birth(device)).issued
        except Forbidden:
            assert {before, self.block} != {Block.NONE}, "a device that is not blocked is refused"
            raise
        assert Block.NONE in (before, self.block) or not self.alone, "a blocked device has got a certificate"
        self.unanswered, self.held = None, got if got != self.using else None

    async def be_born(self) -> None:
        """From the factory, or wiped: with nothing but its factory certificate."""
        self.using = self.held = None
        await self.ask(self.factory.with_new_key())

    async def ask_again(self) -> None:
        """For what it has asked in vain."""
        if self.unanswered is not None:
            await self.ask(self.unanswered)

    async def renew(self) -> None:
        if self.using is not None:
            await self.ask(self.factory.with_issued(self.using).with_new_key())

    async def change_over(self) -> None:
        """It connects with the newest; where its hub says no, or it does not know its hub, it registers."""
        new = self.held
        if new is not None and self.using is not None and self.let_in(new):
            self.using, self.held = new, None
        elif new is not None and await self.dps.register(new, LINKED, tells=True):
            self.dps_writes()

    async def register(self, certificate: LedgerCertificate | None, linked: tuple[str, ...], pick: int) -> None:
        if certificate is not None:
            await self.dps.register(certificate, linked, tells=pick % 2 == 0)

    def dps_writes(self) -> None:
        shown = self.dps.write()
        if shown is not None:
            self.using, self.held = shown, None if shown == self.held else self.held

    def let_in(self, certificate: LedgerCertificate) -> bool:
        return self.world.hubs.lets_in(self.dps.hub, self.factory.id, certificate.certificate)

    def connects(self, *, here: bool, reports: bool = False) -> None:
        if self.using is None or not self.let_in(self.using):
            return
        if reports:
            self.world.hubs.twin(self.dps.hub, self.factory.id).reported = self.using.certificate.serial
        self.sequence += 1
        number, now = f"{self.sequence:064x}", self.world.clock()
        self.post.events.append(DeviceConnection(self.dps.hub, self.factory.id, number, now, here))

    # What others do.

    async def wish(self, verb: Verb) -> None:
        """As an operator's script does: again, with the same key, while there is no answer."""
        self.keys += 1
        command = Command(f"k{self.keys}", "operator", "", Reason.KEY_COMPROMISE)
        for _ in range(9):
            try:
                await self.post.app.operate.block(self.factory.id, verb, command)
            except Conflict:
                return
            except (Crash, Unavailable):
                self.world.calls.faults.clear()
                self.restart()
            else:
                self.accepted.append(verb)
                return
        raise AssertionError("the wish is never fulfilled")

    async def ask_to_renew(self) -> None:
        self.keys += 1
        await self.post.app.operate.renew(self.factory.id, Command(f"k{self.keys}", "operator"))

    def ca_revokes(self, pick: int) -> None:
        live = [one.certificate.serial for one in self.known.certificates if one.status != "revoked"]
        if live:
            self.listed.serials.append(live[pick % len(live)])
            self.doomed = True

    def lose_the_identity(self, pick: int) -> None:
        there = [key for key in self.world.hubs.identities if key[1] == self.factory.id]
        if there:
            del self.world.hubs.identities[there[pick % len(there)]]
            self.perhaps = self.world.profile.deleted_devices == "revoke"

    def identity_by_hand(self, pick: int) -> None:
        """Where DPS would make it. In the hub of others nobody but who was let in by hand looks for a device."""
        hub = list(HUB_HOSTS)[pick % 2] if self.block is Block.REVOKED else self.dps.hub
        if hub and self.using is not None and (hub, self.factory.id) not in self.world.hubs.identities:
            self.world.hubs.put(hub, self.factory.id, self.using.certificate.thumbprint)

    async def wait(self, step: timedelta) -> None:
        """DPS writes within seconds, and a device asks again for what it got no answer for.

        None waits longer than the grace with a certificate that it may have, unless it is blocked.
        """
        self.world.calls.faults.clear()
        self.dps_writes()
        now = self.world.clock()
        with contextlib.suppress(Refusal):  # it is blocked
            await self.ask_again()
            if self.asked is not None and now + step > self.asked + GRACE - timedelta(hours=2):
                await self.post.deliver()
                await self.change_over()
                self.asked = None if self.block is Block.NONE else self.asked
        if self.asked is not None and self.block is not Block.NONE:
            self.asked = now + step
        self.world.clock.forward(seconds=step.total_seconds())
        if step >= timedelta(hours=1):
            assert (await self.post.app.sweep.run()).failures == ()

    async def settle(self) -> None:
        await self.world.rotate.settle(self.factory.id, "devices")


async def act(life: Life, what: Act, pick: int) -> None:
    """One act."""
    acts: dict[Act, Doing] = {
        "be born": life.be_born,
        "renew with the old one": life.renew,
        "ask again": lambda: life.ask(life.last) if life.last else None,
        "change over": life.change_over,
        "register": lambda: life.register(life.held or life.using, LINKED, pick),
        "register with the old one": lambda: life.register(life.using, LINKED, pick),
        "register elsewhere": lambda: life.register(life.using, LINKED[pick % 2 :][:1], pick),
        "DPS writes": life.dps_writes,
        "connect": lambda: life.connects(here=True),
        "report and connect": lambda: life.connects(here=True, reports=True),
        "disconnect": lambda: life.connects(here=False),
        "lose the identity": lambda: life.lose_the_identity(pick),
        "identity by hand": lambda: life.identity_by_hand(pick),
        "event": lambda: life.post.event(pick, stays=False),
        "event twice": lambda: life.post.event(pick, stays=True),
        "message": lambda: life.post.message(pick, stays=False),
        "message twice": lambda: life.post.message(pick, stays=True),
        "lose a message": lambda: life.post.lose(pick),
        "settle": life.settle,
        "CA revokes": lambda: life.ca_revokes(pick),
        "a minute": lambda: life.wait(timedelta(minutes=1)),
        "an hour": lambda: life.wait(timedelta(hours=1)),
        "a day": lambda: life.wait(timedelta(hours=25)),
    }
    if what in OWN:
        life.dps_writes()  # the device waits for an answer
    if what in VERBS:
        if life.known.device is not None:
            await life.wish(VERBS[what])
    elif what == "renew":
        await life.change_over()
        await life.renew()
    elif what == "sweep":
        assert (await life.post.app.sweep.run()).failures == ()
    elif what == "sync":
        await life.post.app.sync.run()
    elif what == "ask to renew":
        await life.ask_to_renew()
    else:
        doing = acts[what]()
        if doing is not None:
            await doing
