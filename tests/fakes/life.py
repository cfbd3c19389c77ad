"""What surrounds one device: DPS that registers it, hubs that raise events, queues that deliver, a CA that revokes.

All of it is under way until somebody lets it happen: an event may come twice, a message late or not at all, and what
DPS has begun it writes later.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.core.adoption import Seen
from shared.core.allocation import Registration
from shared.core.events import DeviceConnection, DeviceCreated, DeviceDeleted
from shared.core.fleet import LedgerCertificate
from shared.core.identity import DeviceId, registration_key
from shared.core.profile import GroupEnrollment, Profiles
from shared.flows.announce import Announce
from shared.flows.issuers import Issuers
from shared.flows.operate import Operate
from shared.flows.ports.hubs import HubIdentity
from shared.flows.ports.index import Due
from shared.flows.renew import Renew
from shared.flows.revocation_sync import RevocationSync
from shared.flows.sweep import Sweep
from tests.fakes.revocation import FakeCrls, FakeRevokedList
from tests.fakes.work import Message
from tests.fakes.world import HUB_HOSTS, Fakes

type HubEvent = DeviceCreated | DeviceConnection | DeviceDeleted


class Flows:
    """Of the world's flows those that an event, a message, a timer or an operator wakes, as one process has them."""

    def __init__(self, world: Fakes, listed: FakeRevokedList) -> None:
        known, clock = Profiles(world.default, world.profiles), world.clock
        ledger, hubs, work, marks = world.ledger, world.hubs, world.work, world.watermarks
        self.provision, self.rotate, self.revoke = world.provision, world.rotate, world.revoke
        self.announce = Announce(ledger, world.topic)
        self.renew = Renew(known, ledger, hubs, world.schedule, marks, work, clock, per_minute=60)
        self.operate = Operate(ledger, self.revoke, world.wishes, world.poison, work, clock)
        self.sweep = Sweep(ledger, world.hints, self.revoke, self.announce)
        self.sync = RevocationSync(
            urls={},
            lists={(world.default,): listed},
            crls=FakeCrls(world.calls),
            chains=world.chains,
            issuers=Issuers(world.watermarks, world.clock),
            index=world.index,
            ledger=ledger,
            watermarks=marks,
            revoke=self.revoke,
            clock=clock,
        )


@dataclass
class Post:
    """Events of the hubs on their way to the app, and messages with the time from which they are handed out.

    `poison` are the messages that no handler could take: an operator puts them back.
    """

    world: Fakes
    app: Flows
    events: list[HubEvent] = field(default_factory=list)
    messages: list[tuple[datetime, Message]] = field(default_factory=list)
    poison: list[Message] = field(default_factory=list)
    _there: set[tuple[str, DeviceId]] = field(default_factory=set)

    def collect(self) -> None:
        """Take up what was sent, and what the hubs tell of identities that came and went."""
        now, sent = self.world.clock(), self.world.work.messages
        self.messages += [(now + timedelta(seconds=one.delay), one) for one in sent]
        self.world.work.messages = []
        there = set(self.world.hubs.identities)
        self.events += [DeviceCreated(hub, device) for hub, device in sorted(there - self._there)]
        self.events += [DeviceDeleted(hub, device, now) for hub, device in sorted(self._there - there)]
        self._there = there

    @property
    def due(self) -> list[tuple[datetime, Message]]:
        return [one for one in self.messages if one[0] <= self.world.clock()]

    async def event(self, pick: int, *, stays: bool) -> None:
        """One of those on their way; it goes out of the way unless its handler fails, or it `stays`."""
        self.collect()
        if self.events:
            event = self.events[pick % len(self.events)]
            await self._tell(event)
            if not stays and event in self.events:
                self.events.remove(event)

    async def message(self, pick: int, *, stays: bool) -> None:
        """One of those that are due."""
        self.collect()
        due = self.due
        if due:
            message = due[pick % len(due)]
            await self._hand_out(message[1])
            if not stays and message in self.messages:
                self.messages.remove(message)

    def lose(self, pick: int) -> None:
        """The settle queue's is poison, which is replayed; what the others lose is found by sweep and scan."""
        self.collect()
        if self.messages:
            lost = self.messages.pop(pick % len(self.messages))[1]
            self.poison += [lost] if lost.queue == "settle" else []

    def replay(self) -> None:
        self.messages += [(self.world.clock(), one) for one in self.poison]
        self.poison.clear()

    async def deliver(self) -> None:
        """All that is due, and what that leads to."""
        self.collect()
        while self.events or self.due:
            while self.events:
                await self.event(0, stays=False)
            while self.due:
                await self.message(0, stays=False)
            self.collect()

    async def _tell(self, event: HubEvent) -> None:
        provision = self.app.provision
        match event:
            case DeviceCreated(hub=hub, device_id=device):
                await provision.device_created(hub, device)
            case DeviceDeleted(hub=hub, device_id=device, at=at):
                await provision.device_deleted(hub, device, at)
            case DeviceConnection(hub=hub, device_id=device):
                await provision.device_connected(hub, device, event.sequence, event.at, connected=event.connected)

    async def _hand_out(self, message: Message) -> None:
        match message.queue:
            case "settle":
                await self.app.rotate.settle(message.device, message.label, message.tries)
            case "saga":
                await self.app.revoke.advance(message.device)
            case "publish":
                await self.app.announce.flush(message.device)
            case "adopt":
                await self.world.adopt.look_up(message.seen or Seen("", "", ""))
            case "nudge":
                await self.app.renew.nudge(
                    Due(message.device, message.serial), message.day or self.world.clock().date()
                )


@dataclass
class Dps:
    """DPS as a device meets it: an enrollment of its own decides, else the group with the webhook.

    `begun` is a registration that was let through and is not written into the hub yet. What DPS writes into a hub that
    knows the device already is documented nowhere: here it enables the identity, which is the worst.
    """

    world: Fakes
    device: DeviceId
    begun: tuple[LedgerCertificate, str] | None = None

    @property
    def hub(self) -> str:
        """The hub that the device was last assigned to; empty before."""
        host = self.world.enrollments.registrations.get(registration_key(self.device))
        return next((name for name, one in HUB_HOSTS.items() if one == host), "")

    def attests(self, shown: LedgerCertificate) -> bool:
        own = self.world.enrollments.documents.get(registration_key(self.device))
        if own is None:
            return isinstance(self.world.profile.dps, GroupEnrollment)
        return own.document["provisioningStatus"] == "enabled" and shown.certificate.thumbprint in own.slots.held

    async def register(self, shown: LedgerCertificate, linked: tuple[str, ...], *, tells: bool) -> bool:
        """Whether the device is let through. `tells`: the webhook hears which certificate was shown."""
        if not self.attests(shown):
            return False
        if isinstance(self.world.profile.dps, GroupEnrollment):
            thumbprint = shown.certificate.thumbprint if tells else ""
            asked = Registration(self.device, "birthcert", linked, thumbprint, HUB_HOSTS.get(self.hub, ""))
            host = (await self.world.provision.allocate(asked)).hub_host
        else:
            host = self.world.enrollments.hub_of[registration_key(self.device)]
        self.begun = shown, next(name for name, one in HUB_HOSTS.items() if one == host)
        return True

    def write(self) -> LedgerCertificate | None:
        """Write what was begun; with which certificate the device now connects."""
        if self.begun is None:
            return None
        (shown, hub), self.begun = self.begun, None
        identities, before = self.world.hubs.identities, self.hub
        self.world.enrollments.registrations[registration_key(self.device)] = HUB_HOSTS[hub]
        if before not in ("", hub):
            identities.pop((before, self.device), None)
        thumbprint = shown.certificate.thumbprint
        identities[hub, self.device] = HubIdentity(thumbprint, thumbprint, enabled=True)
        self.world.hubs.put(hub, self.device, thumbprint, thumbprint)  # with an ETag of its own
        return shown
