"""A device that lives in a hub and renews, for the stories of its rotation."""

from dataclasses import dataclass

from shared.core.allocation import Registration
from shared.core.errors import Refusal, Unavailable
from shared.core.est import Operation
from shared.core.fleet import Device as KnownDevice
from shared.core.fleet import LedgerCertificate
from shared.core.identity import registration_key
from shared.core.revocation import Reason, Verb
from tests.fakes.devices import Device
from tests.fakes.world import HUB_HOSTS, Fakes

HUB = "hub-a"
LINKED = tuple(HUB_HOSTS.values())
HOUR, DAY = 3600, 86_400


@dataclass
class Live:
    """A device in hub-a. `newest` is the certificate that it was given last."""

    world: Fakes
    device: Device
    newest: LedgerCertificate
    hub: str = HUB

    async def renew(self, operation: Operation = Operation.SIMPLEENROLL) -> LedgerCertificate:
        """With the certificate that it was given last, and a new key."""
        self.device = self.device.with_issued(self.newest).with_new_key()
        self.newest = (await self.world.birth(self.device, operation)).issued
        return self.newest

    async def register(self, certificate: LedgerCertificate, *, shown: bool = True) -> None:
        """DPS asks the webhook, then writes the presented certificate into both slots of the hub."""
        thumbprint = certificate.certificate.thumbprint
        asked = Registration(self.device.id, "birthcert", LINKED, thumbprint if shown else "", HUB_HOSTS[HUB])
        await self.world.provision.allocate(asked)
        self.world.hubs.put(HUB, self.device.id, thumbprint, thumbprint)

    async def settle(self, seconds: float = 0) -> None:
        """Time passes, and the settle queue hands out what is due."""
        self.world.clock.forward(seconds=seconds)
        for message in self.world.work.take("settle"):
            if message.delay <= seconds:
                await self.world.rotate.settle(message.device, message.label, message.tries)
            else:
                await self.world.work.settle(message.device, message.label, message.delay - int(seconds), message.tries)

    def let_in(self, *certificates: LedgerCertificate) -> bool:
        return all(self.world.hubs.lets_in(self.hub, self.device.id, one.certificate) for one in certificates)

    @property
    def held(self) -> tuple[str, str]:
        there = self.world.hubs.identities[self.hub, self.device.id]
        return there.primary, there.secondary

    @property
    def known(self) -> KnownDevice:
        known = self.world.ledger.read(self.device.id).device
        assert known is not None
        return known

    def status(self, certificate: LedgerCertificate) -> str:
        found = self.world.ledger.read(self.device.id).certificate(certificate.certificate.serial)
        assert found is not None
        return found.status

    def events(self) -> list[str]:
        return [one.id for one in self.world.ledger.read(self.device.id).outbox if one.kind == "settled"]


async def live(world: Fakes) -> Live:
    device = world.device()
    found = Live(world, device, (await world.birth(device)).issued)
    thumbprint = found.newest.certificate.thumbprint
    world.hubs.put(HUB, device.id, thumbprint, thumbprint)
    world.enrollments.registrations[registration_key(device.id)] = HUB_HOSTS[HUB]
    await world.provision.device_created(HUB, device.id)
    world.work.messages.clear()
    return found


async def wish(there: Live, verb: Verb) -> None:
    """An operator's, of which each verb has one request id."""
    why = Reason.UNSPECIFIED
    await there.world.revoke.begin(there.device.id, verb, why, caller="operator", comment="", saga_id=f"id-{verb}")


def thumbprint(issued: LedgerCertificate) -> str:
    return issued.certificate.thumbprint


def serial(issued: LedgerCertificate) -> str:
    return issued.certificate.serial


def down() -> Refusal:
    return Unavailable("the hub is down", retry_after=5)
