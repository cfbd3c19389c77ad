"""How a device reaches its IoT Hub: the allocation DPS asks for, its individual enrollment, its first appearance."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from shared.core.allocation import Registration, check_admitted, choose_hub
from shared.core.certificate import Certificate
from shared.core.errors import Forbidden, Misconfigured, Unavailable
from shared.core.fleet import Block, Device, Snapshot
from shared.core.identity import DeviceId
from shared.core.profile import GroupEnrollment, IndividualEnrollment, Profile, Profiles
from shared.core.rotation import Slots, slot_for
from shared.flows.ports import Enrollments, HubIdentity, Hubs, Ledger, StaleVersionError, Work

# What a device waits for DPS at most; afterwards the settle queue finishes, for which it waits a little too.
PLACE_SECONDS = 6.0
QUEUE_SECONDS = 4.0
_ATTEMPTS = 4


@dataclass(frozen=True)
class Provision:
    """`hub_hosts` maps the hub names of the profiles to host names."""

    profiles: Profiles
    hub_hosts: Mapping[str, str]
    ledger: Ledger
    enrollments: Enrollments
    hubs: Hubs
    work: Work

    async def allocate(self, registration: Registration) -> str:
        """The host name of the device's hub. Raises Forbidden for a device not let in, Misconfigured without a hub.

        Answered from the ledger alone: DPS waits, and says nowhere for how long.
        """
        known = await self.ledger.load(registration.device_id)
        check_admitted(known, registration.thumbprint)
        profile = self._profile(known.device, registration.enrollment_group)
        if known.device is None and profile.unknown_devices == "manifest":
            raise Forbidden("the device is not on the manifest of its label")
        candidates = self._linked(profile.hubs, registration.linked_hubs)
        if not candidates:
            raise Misconfigured(
                "no hub of the profile is linked",
                cause=f"{profile.label}: profile has {profile.hubs}, DPS links {registration.linked_hubs}",
            )
        return choose_hub(registration.device_id, candidates)

    def _profile(self, device: Device | None, group: str) -> Profile:
        """The device's own profile, or else the one of its enrollment group, or else the default one."""
        by_label = self.profiles.by_label
        if device is not None and device.label in by_label:
            return by_label[device.label]
        of_group = (one for one in by_label.values() if one.dps == GroupEnrollment(group))
        return next(of_group, by_label[self.profiles.default])

    def _linked(self, names: Sequence[str], linked: Sequence[str]) -> list[str]:
        hosts = {host.lower(): host for host in linked}
        wanted = (self.hub_hosts.get(name, "").lower() for name in names)
        return [hosts[host] for host in wanted if host in hosts]

    async def place_soon(self, device: DeviceId, profile: Profile, new: Certificate, in_use: str) -> None:
        """Put a new certificate into the device's individual enrollment now, or leave it to the settle queue.

        `in_use` is the thumbprint of the certificate that the device uses, or empty. Raises Unavailable.
        """
        try:
            async with asyncio.timeout(PLACE_SECONDS):
                await self.place(device, profile, new, in_use)
        except (TimeoutError, Unavailable):
            await self._settle_later(device, profile)

    async def _settle_later(self, device: DeviceId, profile: Profile) -> None:
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self.work.settle(device, profile.label)
        except TimeoutError as error:
            text = "the device cannot be enrolled in DPS now; send the same request again"
            raise Unavailable(text, retry_after=5, cause="neither DPS nor the settle queue answers") from error

    async def place(self, device: DeviceId, profile: Profile, new: Certificate, in_use: str) -> None:
        """The certificate stands in the enrollment, and so does the one in use. Raises Unavailable."""
        hosts = [self.hub_hosts[name] for name in profile.hubs]
        for _ in range(_ATTEMPTS):
            found = await self.enrollments.read(device)
            slot = slot_for(new, found.slots if found else Slots(), in_use)
            if slot is None:
                return
            try:
                await self.enrollments.put(device, choose_hub(device, hosts), slot, new, found)
            except StaleVersionError:
                continue
            return
        raise Unavailable("the enrollment is changing too fast", retry_after=5)

    async def settle(self, device: DeviceId, label: str) -> None:
        """What the settle queue asks for: the latest certificate stands in the enrollment. Raises Unavailable."""
        known = await self.ledger.load(device)
        profile = self.profiles.by_label.get(label)
        if profile is None or known.device is None or not isinstance(profile.dps, IndividualEnrollment):
            return  # the profile has changed since, or the device is gone: there is nothing left to do
        latest, in_use = known.certificate(known.device.latest), known.certificate(known.device.current)
        if latest is None or latest.status == "revoked" or known.device.block is not Block.NONE:
            return  # an enrollment made now would let the device in again
        await self.place(device, profile, latest.certificate, in_use.certificate.thumbprint if in_use else "")

    async def device_created(self, hub: str, device: DeviceId) -> bool:
        """A hub has a new identity: bind hub and certificate. False when the device is not one of ours.

        The event's twin is a default and tells nothing, so the registry is read. Safe to repeat, in any order.
        """
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(device)
            if known.device is None or known.device.device_id != device:
                return False
            identity = await self.hubs.identity(hub, device)
            bound = _bound(known, known.device, self._spelled(hub), identity)
            if bound == known.device:
                return True
            try:
                await self.ledger.save(known, bound)
            except StaleVersionError:
                continue
            return True
        raise Unavailable("the device's record is changing too fast", retry_after=5)

    def _spelled(self, hub: str) -> str:
        """The hub's name as the profiles have it: Event Grid writes some in capitals."""
        return next((name for name in self.hub_hosts if name.lower() == hub.lower()), hub)


def _bound(known: Snapshot, device: Device, hub: str, identity: HubIdentity | None) -> Device:
    """The device with its hub, and with the certificate that the hub lets in; unchanged when it has moved on."""
    if identity is None:
        return device
    held = (known.by_thumbprint(thumbprint) for thumbprint in identity.thumbprints if thumbprint)
    certificate = next((one for one in held if one is not None), None)
    return replace(device, hub=hub, current=certificate.certificate.serial if certificate else device.current)
