"""Rotation: a renewed certificate is let in beside the one in use, everywhere, and takes its place when it is proven.

DPS writes the thumbprint of the leaf into IoT Hub, so a renewed leaf is refused there until the device registers again.
This flow closes the gap: it writes the newest thumbprint beside the one in use before the device gets its certificate.
What `core/rotation.py` decides is written into the ledger first; hub and enrollment follow it, now or by the queue.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.core import allocation, rotation
from shared.core.errors import Refusal, Unavailable
from shared.core.fleet import Block, Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.core.profile import IndividualEnrollment, Label, Profile, Profiles
from shared.core.rotation import Slots
from shared.flows.ports import Clock, Enrollments, HubIdentity, Hubs, Ledger, StaleVersionError, Work

# What a device waits for its hub and DPS at most; afterwards the settle queue finishes.
PLACE_SECONDS = 6.0
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

    async def begin(
        self, device: DeviceId, profile: Profile, issued: LedgerCertificate, presented: LedgerCertificate | None
    ) -> None:
        """Let a certificate in that was just issued, before the device gets it; the queue does what is left over.

        `presented` is the certificate of ours that the device came with. Raises Unavailable when the queue fails too.
        """
        shown = presented.certificate.serial if presented else ""
        left: int | None = 0
        try:
            async with asyncio.timeout(PLACE_SECONDS):
                left = None
                if await self._open(device, profile, issued, shown):
                    left = self._left(await self._advance(device, profile, shown), profile)
        except (TimeoutError, Refusal):
            left = 0  # the certificate is issued and paid for: whatever fails here must not keep it from the device
        if left is not None:
            await self.work.settle(device, profile.label, left)

    async def proven(self, device: DeviceId, serial: str, delay: int = 0) -> None:
        """The device has used this certificate with DPS or its hub. If it is the newest, it takes the other's place.

        `delay` is in seconds: DPS writes the hub only after its webhook was answered. Raises Unavailable.
        """
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(device)
            before, used = known.device, known.certificate(serial)
            if before is None or used is None or used.status == "revoked" or serial != before.latest:
                return
            try:
                await self._commit(known, before, rotation.proven(before))
            except StaleVersionError:
                continue
            await self.work.settle(device, before.label, delay)
            return
        raise _changing()

    async def settle(self, device: DeviceId, label: Label) -> None:
        """What the settle queue asks for: do what is left over, and come back when the grace is over.

        Raises Unavailable.
        """
        left = await self.check(device, label)
        if left is not None:
            await self.work.settle(device, label, left)

    async def check(self, device: DeviceId, label: Label) -> int | None:
        """Bring hub, enrollment and twin to where they have to be. Returns the seconds until there is more to do.

        None when there is nothing more. Safe to repeat at any time. Raises Unavailable.
        """
        known = await self.ledger.load(device)
        found = known.device
        profile = self.profiles.by_label.get(found.label if found else label)
        if found is None or profile is None:
            return None  # the device is gone, or its label: there is nothing left to do
        known = await self._advance(found.device_id, profile, "")
        await self._tag(known)
        return self._left(known, profile)

    async def _open(self, device: DeviceId, profile: Profile, issued: LedgerCertificate, presented: str) -> bool:
        """Write down that a rotation begins. False when there is nothing to do: a first certificate, and no hub yet."""
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(device)
            before = known.device
            if before is None:
                return False
            after = before
            if before.latest == issued.certificate.serial:  # or else another was issued since, and began its own
                after = rotation.opened(known, before, presented, self.clock())
            try:
                await self._commit(known, before, after)
            except StaleVersionError:
                continue
            return isinstance(profile.dps, IndividualEnrollment) or bool(before.hub or before.current or presented)
        raise _changing()

    async def _advance(self, device: DeviceId, profile: Profile, presented: str) -> Snapshot:
        """Ledger, hub and enrollment, in this order. Returns what the ledger knows afterwards."""
        known = await self._rotate(device, profile, presented)
        if isinstance(profile.dps, IndividualEnrollment):
            await self._enroll(device, profile, presented)
        return known

    def _left(self, known: Snapshot, profile: Profile) -> int | None:
        """The seconds until the rotation has to be looked at again; None when there is none."""
        device = known.device
        end = rotation.deadline(known, device, _grace(profile)) if device else None
        if device is None or end is None or device.block is Block.REVOKED:
            return None
        if device.block is Block.HOLD:
            end = self.clock() + max(_grace(profile), timedelta(hours=1))
        return max(1, int((end - self.clock()).total_seconds()) + 1)

    async def _rotate(self, device: DeviceId, profile: Profile, presented: str) -> Snapshot:
        """The ledger's state and the hub's identity. Returns what the ledger knows afterwards."""
        hub = (await self.ledger.load(device)).device
        name = hub.hub if hub else ""
        if not name and presented:  # its DeviceCreated may be hours late, and the device is about to change over
            name = self._name(await self.enrollments.registration(device))
        for _ in range(_ATTEMPTS):
            identity = await self.hubs.identity(name, device) if name else None
            # Read after the hub: a state older than what stands there could throw out a newer certificate.
            known = await self.ledger.load(device)
            if known.device is None or known.device.block is Block.REVOKED:
                return known
            try:
                known = await self._decide(known, known.device, _slots(identity), profile, presented)
                if identity is not None and known.device is not None:
                    wanted = rotation.hub_slots(known, known.device, _slots(identity))
                    if wanted is not None:
                        await self.hubs.put_thumbprints(name, device, identity, wanted)
            except StaleVersionError:
                continue
            return known
        raise _changing()

    async def _decide(
        self, known: Snapshot, before: Device, found: Slots, profile: Profile, presented: str
    ) -> Snapshot:
        now = self.clock()
        after = rotation.observed(known, before, found)
        if after != before and presented:
            after = rotation.opened(known, after, presented, now)
        after = rotation.timed(known, after, found, now, _grace(profile))
        return await self._commit(known, before, after)

    async def _enroll(self, device: DeviceId, profile: Profile, presented: str) -> None:
        """The individual enrollment holds the newest certificate, and the one in use beside it."""
        made = False
        for _ in range(_ATTEMPTS):
            enrollment = await self.enrollments.read(device)
            known = await self.ledger.load(device)
            state, latest = known.device, known.certificate(known.device.latest) if known.device else None
            if state is None or latest is None or latest.status == "revoked":
                return
            if state.block is not Block.NONE:
                if made:  # DPS knows no condition for "nothing is there yet": ours may have replaced the block
                    await self.enrollments.block(device)
                return
            in_use = known.certificate(state.current or presented)
            valid = in_use.certificate if in_use and in_use.certificate.is_valid_at(self.clock()) else None
            slots = enrollment.slots if enrollment else Slots()
            settled = state.current == state.latest
            step = rotation.enrollment_step(slots, latest.certificate, valid, settled=settled)
            if step is None:
                return
            slot, certificate = step
            try:
                await self.enrollments.put(device, self._host(device, profile), slot, certificate, enrollment)
            except StaleVersionError:
                continue
            made = made or enrollment is None
        raise _changing()

    async def _tag(self, known: Snapshot) -> None:
        """The twin's tags say which certificate the device uses, so that operators can query their fleet by it."""
        used = known.certificate(known.device.current) if known.device else None
        if known.device is not None and known.device.hub and used is not None:
            await self.hubs.tag(known.device.hub, known.device.device_id, allocation.tags(used))

    async def _commit(self, known: Snapshot, before: Device, after: Device) -> Snapshot:
        if after == before:
            return known
        changed = rotation.change(known, before, after, self.clock())
        written = await self.ledger.commit(known, changed)
        if changed.events:
            with contextlib.suppress(Unavailable):  # the ledger has left a hint, by which a sweep finds the event
                await self.work.publish(after.device_id)
        return written

    def _host(self, device: DeviceId, profile: Profile) -> str:
        """The hub that a new enrollment leads to."""
        hosts = {name: self.hub_hosts[name] for name in profile.hubs}
        return allocation.choose(profile, device, hosts, current="")

    def _name(self, host: str | None) -> str:
        return next((name for name, one in self.hub_hosts.items() if host and one.lower() == host.lower()), "")


def _slots(identity: HubIdentity | None) -> Slots:
    return Slots(identity.primary, identity.secondary) if identity else Slots()


def _grace(profile: Profile) -> timedelta:
    return timedelta(hours=profile.renewal.grace_hours)


def _changing() -> Unavailable:
    return Unavailable("the device's record is changing too fast; try again", retry_after=5)
