"""Rotation: a renewed certificate is let in beside the one in use, everywhere, and takes its place when it is proven.

DPS writes the thumbprint of the leaf into IoT Hub, so a renewed leaf is refused there until the device registers again.
This flow closes the gap: it writes the newest thumbprint beside the one in use before the device gets its certificate.
What `core/rotation.py` decides is written into the ledger first; hub and enrollment follow it, now or by the queue.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.core import allocation, rotation
from shared.core.certificate import Certificate
from shared.core.errors import Again, Unavailable
from shared.core.fleet import Block, Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.core.profile import IndividualEnrollment, Label, Profile, Profiles
from shared.core.rotation import Slot, Slots
from shared.flows.announce import tell
from shared.flows.ports.clock import Clock
from shared.flows.ports.dps import Enrollment, Enrollments
from shared.flows.ports.hubs import HubIdentity, Hubs
from shared.flows.ports.ledger import Ledger, StaleVersionError
from shared.flows.ports.work import Work

# What a device waits for its hub and DPS at most; afterwards the settle queue finishes.
PLACE_SECONDS = 6.0
QUEUE_SECONDS = 4.0
# Until what a device has proven is written down.
PROVEN_SECONDS = 3
_ATTEMPTS = 5


@dataclass(frozen=True)
class Rotate:
    """`hub_hosts` maps the hub names of the profiles to host names."""

    profiles: Profiles
    hub_hosts: Mapping[str, str]
    ledger: Ledger
    enrollments: Enrollments
    hubs: Hubs
    work: Work
    clock: Clock

    async def begin(self, device: DeviceId, profile: Profile, presented: LedgerCertificate | None) -> None:
        """Let a certificate in that was just issued, before the device gets it; the queue does what is left over.

        `presented` is the certificate of ours that the device came with. Raises Unavailable when the queue fails too,
        and Misconfigured: the device then stays with its old certificate, which is still let in.
        """
        shown = presented.certificate if presented else None
        left: int | None = 0
        try:
            async with asyncio.timeout(PLACE_SECONDS):
                known = await self.ledger.load(device)
                # A hub that hangs leaves DPS its time: the device can go there with its new certificate.
                seconds = PLACE_SECONDS / 2 if isinstance(profile.dps, IndividualEnrollment) else None
                left = self._left(await self._advance(known, profile, shown, seconds), profile)
        except (TimeoutError, Unavailable):
            left = 0
        if left is None:
            return
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self.work.settle(device, profile.label, left)
        except TimeoutError as error:
            raise Unavailable("a queue that is needed does not answer; try again", retry_after=5) from error

    async def proven(self, device: DeviceId, serial: str) -> None:
        """The device says that its hub lets it in with this certificate. If it is the newest, it takes its place.

        Raises Unavailable.
        """
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(device)
            before, used = known.device, known.certificate(serial)
            if before is None or used is None or used.status == "revoked" or serial != before.latest:
                return
            # First: once it is written down, the same event again would find nothing to do.
            await self.work.settle(device, before.label, PROVEN_SECONDS)
            try:
                async with asyncio.timeout(PROVEN_SECONDS - 0.5):  # or the message would come too early
                    await self._commit(known, rotation.proven(before))
            except StaleVersionError:
                continue
            except TimeoutError as error:
                raise Unavailable("the ledger is too slow", retry_after=5) from error
            return
        raise _changing()

    async def settle(self, device: DeviceId, label: Label, tries: int = 0) -> Again | None:
        """What the settle queue asks for: do what is left over, and come back when the grace is over.

        What keeps it from being done is returned: the queue asks again, ever less often, for as long as it takes. A
        message that failed a few times would be poison, and nothing else looks for this rotation. `tries` is how often
        it has failed. Raises Unavailable when the queue fails.
        """
        try:
            left = await self.check(device, label)
        except Again as refusal:
            await self.work.settle(device, label, rotation.delay(device, tries, refusal.retry_after), tries + 1)
            return refusal
        if left is not None:
            await self.work.settle(device, label, left)
        return None

    async def check(self, device: DeviceId, label: Label) -> int | None:
        """Bring hub, enrollment and twin to where they have to be. Returns the seconds until there is more to do.

        None when there is nothing more. Safe to repeat at any time. Raises Unavailable.
        """
        known = await self.ledger.load(device)
        profile = self.profiles.by_label.get(known.device.label if known.device else label)
        if known.device is None or profile is None:
            return None  # the device is gone, or its label: there is nothing left to do
        known = await self._advance(known, profile, None)
        if known.device is None or known.device.block is Block.REVOKED:
            return None
        await self._tag(known)
        return self._left(known, profile)

    async def _advance(
        self, known: Snapshot, profile: Profile, presented: Certificate | None, hub_seconds: float | None = None
    ) -> Snapshot:
        """Ledger, hub and enrollment, in this order; this one also when the hub fails, or takes longer than it may.

        Returns what the ledger knows afterwards.
        """
        if known.device is None or known.device.block is Block.REVOKED:
            return known
        device = known.device.device_id
        try:
            async with asyncio.timeout(hub_seconds):
                known = await self._rotate(known, device, profile)
        except Again:
            await self._enrolled(device, profile, presented)
            raise
        except TimeoutError as error:
            await self._enrolled(device, profile, presented)
            raise Unavailable("the hub is too slow", retry_after=5) from error
        await self._enrolled(device, profile, presented)
        return known

    async def _enrolled(self, device: DeviceId, profile: Profile, presented: Certificate | None) -> None:
        if isinstance(profile.dps, IndividualEnrollment):
            await self._enroll(device, profile, presented)

    def _left(self, known: Snapshot, profile: Profile) -> int | None:
        """The seconds until the rotation has to be looked at again; None when there is nothing to wait for."""
        device, now = known.device, self.clock()
        end = rotation.deadline(known, device, _grace(profile)) if device else None
        if device is None or end is None or device.block is not Block.NONE:
            return None  # what a restore begins anew
        return int((end - now).total_seconds()) + 1 if end > now else None

    async def _rotate(self, known: Snapshot, device: DeviceId, profile: Profile) -> Snapshot:
        """The ledger's state and the hub's identity. Returns what the ledger knows afterwards."""
        for _ in range(_ATTEMPTS):
            hub, identity = await self._identity(known.device)
            # Read after the hub: a state older than what stands there could throw out a newer certificate.
            known = await self.ledger.load(device) if hub else known
            found = Slots(identity.primary, identity.secondary) if identity else Slots()
            if known.device is None or known.device.block is Block.REVOKED:
                return known
            after = self._decided(known, known.device, found, profile)
            try:
                known = await self._commit(known, after)
                wanted = rotation.hub_slots(known, after, found)
                if identity is not None and wanted is not None:
                    await self.hubs.put_thumbprints(hub, device, identity, wanted)
            except StaleVersionError:
                known = await self.ledger.load(device)
                continue
            return known
        raise _changing()

    async def _identity(self, device: Device | None) -> tuple[str, HubIdentity | None]:
        """The hub that the device is in, or empty, and its identity there.

        The event that tells of a new hub may be hours late, and the device about to change over: then DPS is asked.
        """
        hub = device.hub if device else ""
        identity = await self.hubs.identity(hub, device.device_id) if device and hub else None
        if device is None or identity is not None or not (hub or device.asked_with):
            return hub, identity
        hub = self._name(await self.enrollments.registration(device.device_id))
        return hub, await self.hubs.identity(hub, device.device_id) if hub else None

    def _decided(self, known: Snapshot, before: Device, found: Slots, profile: Profile) -> Device:
        after = rotation.observed(known, before, found, self.clock())
        return rotation.timed(known, after, found, self.clock(), _grace(profile))

    async def _enroll(self, device: DeviceId, profile: Profile, presented: Certificate | None) -> None:
        """The individual enrollment holds the newest certificate, and the one in use beside it."""
        made = False
        for _ in range(_ATTEMPTS):
            enrollment = await self.enrollments.read(device)
            known = await self.ledger.load(device)
            if known.device is None or known.device.block is not Block.NONE:
                if made:  # DPS knows no condition for "nothing is there yet": ours may have replaced the block
                    await self.enrollments.block(device)
                return
            step = self._step(known, known.device, enrollment, presented)
            if step is None:
                return
            slot, certificate = step
            try:
                await self.enrollments.put(device, self._host(known.device, profile), slot, certificate, enrollment)
            except StaleVersionError:
                continue
            made = made or enrollment is None
        raise _changing()

    def _step(
        self, known: Snapshot, device: Device, found: Enrollment | None, presented: Certificate | None
    ) -> tuple[Slot, Certificate] | None:
        latest, current = known.certificate(device.latest), known.certificate(device.current)
        if latest is None or latest.status == "revoked":
            return None  # an enrollment made now would let the device in again
        in_use = current.certificate if current else presented
        valid = in_use if in_use is not None and in_use.is_valid_at(self.clock()) else None
        slots, settled = found.slots if found else Slots(), device.current == device.latest
        return rotation.enrollment_step(slots, latest.certificate, valid, settled=settled)

    async def _tag(self, known: Snapshot) -> None:
        """The twin's tags say which certificate the device uses, so that operators can query their fleet by it."""
        used = known.certificate(known.device.current) if known.device else None
        if known.device is not None and known.device.hub and used is not None:
            await self.hubs.tag(known.device.hub, known.device.device_id, allocation.tags(used))

    async def _commit(self, known: Snapshot, after: Device) -> Snapshot:
        before = known.device
        if before is None or after == before:
            return known
        changed = rotation.change(known, before, after, self.clock())
        written = await self.ledger.commit(known, changed)
        await tell(self.work, known, changed)
        return written

    def _host(self, device: Device, profile: Profile) -> str:
        """The hub that a new enrollment leads to."""
        hosts = {name: self.hub_hosts[name] for name in profile.hubs}
        return allocation.choose(profile, device.device_id, hosts, self.hub_hosts.get(device.hub, ""))

    def _name(self, host: str | None) -> str:
        return next((name for name, one in self.hub_hosts.items() if host and one.lower() == host.lower()), "")


def _grace(profile: Profile) -> timedelta:
    return timedelta(hours=profile.renewal.grace_hours)


def _changing() -> Unavailable:
    return Unavailable("the device's record is changing too fast; try again", retry_after=5)
