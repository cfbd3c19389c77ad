"""How a device reaches its IoT Hub, and what happens to it there: DPS asks which one, and the hub tells the rest.

Events come at least once, in any order, hours late: none is believed, what they point at is read, and the ledger's
state decides. An event of something that has changed since leaves it alone.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from shared.core.allocation import Allocation, Registration, check_admitted, choose, initial_twin
from shared.core.errors import Conflict, Misconfigured, Unavailable
from shared.core.events import DpsFailure
from shared.core.fleet import Block, Change, Device, Snapshot
from shared.core.identity import DeviceId
from shared.core.profile import GroupEnrollment, Profile, Profiles
from shared.core.revocation import Reason
from shared.flows.ports.clock import Clock
from shared.flows.ports.dps import Enrollments
from shared.flows.ports.hubs import Hubs
from shared.flows.ports.ledger import Ledger, StaleVersionError
from shared.flows.ports.work import Work
from shared.flows.revoke import Revoke
from shared.flows.rotate import Rotate
from shared.flows.unknown_certificates import QUEUE_SECONDS, shown_by_dps, shown_by_hub

# DPS writes the hub after its webhook was answered; by then it has surely done so.
REGISTERED_SECONDS = 15
_ATTEMPTS = 5

# What became of an event. What is not ours is acknowledged and counted. "ShutOut": a blocked device was let in
# somewhere, so its block was carried out everywhere once more. "LookedUp": all is done, and the queue finds out what
# the hub holds that is not known here. "UnknownHub": the hub tells its events to this app, and no profile names it.
type Outcome = Literal["Done", "LeftAlone", "UnknownDevice", "ShutOut", "LookedUp", "UnknownHub"]


@dataclass(frozen=True)
class Provision:
    """`hub_hosts` maps the hub names of the profiles to host names."""

    profiles: Profiles
    hub_hosts: Mapping[str, str]
    ledger: Ledger
    hubs: Hubs
    enrollments: Enrollments
    rotate: Rotate
    revoke: Revoke
    work: Work
    clock: Clock

    async def allocate(self, registration: Registration) -> Allocation:
        """The device's hub. Raises Forbidden for a device not let in, Misconfigured without a hub, Unavailable.

        Answered from the ledger alone: DPS waits, and says nowhere for how long.
        """
        known = await self.ledger.load(registration.device_id)
        profile = self._profile(known.device, registration.enrollment_group)
        check_admitted(known, profile, registration.thumbprint, self.clock())
        linked = {host.lower(): host for host in registration.linked_hubs}
        hosts = {name: linked.get(self.hub_hosts.get(name, "").lower(), "") for name in profile.hubs}
        candidates = {name: host for name, host in hosts.items() if host}
        if not candidates:
            raise Misconfigured(
                "no hub of the profile is linked",
                cause=f"{profile.label}: profile has {profile.hubs}, DPS links {registration.linked_hubs}",
            )
        trouble = await self._registering(known, registration)
        host = choose(profile, registration.device_id, candidates, registration.current_hub)
        twin = initial_twin(known, registration.thumbprint)
        answer = Allocation(host, twin, bool(registration.current_hub), cause=trouble)
        return await shown_by_dps(self.work, known, registration, profile.label, answer)

    async def _registering(self, known: Snapshot, registration: Registration) -> str:
        """DPS is about to write the presented certificate into both slots of the hub: look at them afterwards.

        Why the queue did not take that, or empty. A device in a rotation is not refused for it: the rotation has a
        message of its own, and the hub's events and the records of DPS lead there too. Raises Unavailable for others.

        That it was presented proves nothing yet. Azure's client keeps its old certificate when DPS does not let the new
        one in (aziot-identityd registers with it before it commits), and DPS may fail after this answer.
        """
        device, presented = known.device, known.by_thumbprint(registration.thumbprint)
        if device is None or not device.current:
            return ""  # its first time, or an event is still to come: DeviceCreated binds it
        used = presented.certificate.serial if presented else device.current
        if device.current == device.latest == used:
            return ""
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self.work.settle(device.device_id, device.label, REGISTERED_SECONDS)
        except (TimeoutError, Unavailable) as error:
            if device.current == device.latest:  # it goes back to an older one, which nothing else would notice
                raise Unavailable("a queue that is needed does not answer; try again", retry_after=5) from error
            return f"the queue settle: {error.public}" if isinstance(error, Unavailable) else "the queue settle is slow"
        return ""

    def _profile(self, device: Device | None, group: str) -> Profile:
        """The device's own profile, or else the one of its enrollment group, or else the default one."""
        by_label = self.profiles.by_label
        if device is not None and device.label in by_label:
            return by_label[device.label]
        of_group = (one for one in by_label.values() if one.dps == GroupEnrollment(group))
        return next(of_group, by_label[self.profiles.default])

    async def device_created(self, hub: str, device: DeviceId) -> Outcome:
        """A hub has a new identity: bind hub and certificate, tag the twin, let a newer certificate in.

        A blocked device is shut out; a certificate that is not known is looked up. The event's twin is a default and
        tells nothing, so the registry is read. Safe to repeat, in any order.
        """
        name = self._spelled(hub)
        if name not in self.hub_hosts:
            return "UnknownHub"
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(device)
            before = known.device
            if before is None:
                return await self._stranger(name, device)
            if before.device_id != device:
                return "UnknownDevice"  # the hub's ids differ by case
            identity = await self.hubs.identity(name, device)
            if identity is not None and not await self._is_its_hub(before, name):
                identity = None  # it has moved on since
            moved = identity is not None and before.hub != name
            after = replace(before, hub=name, connected=False, sequence="") if moved else before
            try:
                await self._commit(known, before, after)
            except StaleVersionError:
                continue
            if before.block is not Block.NONE:
                outcome = await self._shut_out(device)
                await shown_by_hub(self.work, known, name, device, identity)  # it is revoked with the others
                return outcome
            if identity is None:
                return "LeftAlone"
            unknown = await shown_by_hub(self.work, known, name, device, identity)
            await self.rotate.settle(device, before.label)
            return "LookedUp" if unknown else "Done"
        raise _changing()

    async def _stranger(self, hub: str, device: DeviceId) -> Outcome:
        """A device that nobody here knows: it is ours if its certificate is. Its profile may refuse it all the same."""
        identity = await self.hubs.identity(hub, device)
        return "LookedUp" if await shown_by_hub(self.work, Snapshot(), hub, device, identity) else "UnknownDevice"

    async def _shut_out(self, device: DeviceId) -> Outcome:
        """A registration that was under way when the block came, or somebody, has let the device in.

        Where it is gone again an earlier try may have stopped half-way.
        """
        await self.revoke.advance(device)
        return "ShutOut"

    async def _is_its_hub(self, device: Device, hub: str) -> bool:
        """Whether the device belongs into the hub. Where the ledger says another one, DPS has the last word."""
        return device.hub in ("", hub) or await self._assigned(device.device_id) in (None, hub)

    async def device_connected(
        self, hub: str, device: DeviceId, sequence: str, at: datetime, *, connected: bool
    ) -> Outcome:
        """The device has connected to its hub, or gone.

        A device that reports the serial of its newest certificate in its twin has proven it.
        """
        name = self._spelled(hub)
        if name not in self.hub_hosts:
            return "UnknownHub"
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(device)
            if known.device is not None and known.device.hub != name:
                bound = await self.device_created(name, device)  # that event is to come, or this one is out of date
                if bound not in ("Done", "LookedUp"):
                    return bound
                known = await self.ledger.load(device)
            before = known.device
            if before is None or before.device_id != device:
                return "UnknownDevice"
            if sequence < before.sequence:
                return "LeftAlone"
            seen = max(at, before.last_seen) if before.last_seen else at
            after = replace(before, connected=connected, sequence=sequence, last_seen=seen)
            try:
                await self._commit(known, before, after)
            except StaleVersionError:
                continue
            if connected and after.block is not Block.NONE:
                return await self._shut_out(device)
            if connected and after.current != after.latest:
                await self._look_closer(after)
            return "Done"
        raise _changing()

    async def _look_closer(self, device: Device) -> None:
        """Which certificate the device uses: by what it reports, or by what DPS has written into its hub."""
        serial = await self.hubs.reported_serial(device.hub, device.device_id)
        if serial and serial == device.latest:
            await self.rotate.proven(device.device_id, serial)
        else:
            await self.rotate.check(device.device_id, device.label)

    async def device_deleted(self, hub: str, device: DeviceId, at: datetime) -> Outcome:
        """A hub has lost an identity.

        A device that moved to another hub, or was made again, is left alone; else the profile says what it means.
        """
        name = self._spelled(hub)
        if name not in self.hub_hosts:
            return "UnknownHub"
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(device)
            before = known.device
            if before is None or before.device_id != device:
                return "UnknownDevice"
            if before.block is Block.REVOKED or before.hub not in ("", name):
                return "LeftAlone"
            if await self.hubs.identity(name, device) is not None:
                return "LeftAlone"
            assigned = await self._assigned(device)
            if assigned is not None and assigned != name:  # the event that tells so is to come, or never comes
                return await self.device_created(assigned, device) if assigned else "LeftAlone"
            profile = self.profiles.by_label.get(before.label)
            if profile is not None and profile.deleted_devices == "revoke":
                await self._revoke(name, device, at)
                return "Done"
            try:
                await self._commit(known, before, replace(before, hub="", connected=False, sequence=""))
            except StaleVersionError:
                continue
            return "Done"
        raise _changing()

    async def _assigned(self, device: DeviceId) -> str | None:
        """The hub that DPS has last assigned the device to, whose identity may be gone since; None when it has not.

        Empty when the hub is none of ours.
        """
        host = await self.enrollments.registration(device)
        if host is None:
            return None
        return next((name for name, one in self.hub_hosts.items() if one.lower() == host.lower()), "")

    async def _revoke(self, hub: str, device: DeviceId, at: datetime) -> None:
        """The same event again asks for the same saga."""
        why, comment = Reason.CESSATION_OF_OPERATION, f"the identity was deleted from {hub}"
        ident = f"deleted-{hub}-{at:%Y%m%dT%H%M%S%f}"
        try:
            await self.revoke.begin(device, "revoke", why, caller="IoT Hub", comment=comment, saga_id=ident)
        except Conflict:
            return  # another request has done it meanwhile

    async def dps_failure(self, record: DpsFailure) -> Outcome:
        """DPS refused the device: why, when and from where."""
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(record.device_id)
            before = known.device
            if before is None:
                return "UnknownDevice"
            if before.failure is not None and before.failure.at >= record.failure.at:
                return "LeftAlone"
            try:
                await self._commit(known, before, replace(before, failure=record.failure))
            except StaleVersionError:
                continue
            return "Done"
        raise _changing()

    async def dps_registered(self, device: DeviceId) -> Outcome:
        """DPS has registered the device, first or again: see where, and which certificate it wrote there."""
        known = await self.ledger.load(device)
        found = known.device
        if found is None:
            return "UnknownDevice"
        assigned = await self._assigned(found.device_id)
        if assigned and assigned != found.hub:
            return await self.device_created(assigned, found.device_id)
        if found.block is not Block.NONE:
            return await self._shut_out(found.device_id)
        if found.current == found.latest:
            return "LeftAlone"
        await self.rotate.settle(found.device_id, found.label)
        return "Done"

    async def _commit(self, known: Snapshot, before: Device, after: Device) -> None:
        if after != before:
            await self.ledger.commit(known, Change(after))

    def _spelled(self, hub: str) -> str:
        """The hub's name as the profiles have it: Event Grid writes some in capitals."""
        return next((name for name in self.hub_hosts if name.lower() == hub.lower()), hub)


def _changing() -> Unavailable:
    return Unavailable("the device's record is changing too fast; try again", retry_after=5)
