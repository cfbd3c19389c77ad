"""What the flows need of the Device Provisioning Service."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509

from shared.core.certificate import Certificate
from shared.core.identity import DeviceId
from shared.core.rotation import Slot, Slots


@dataclass(frozen=True, slots=True)
class Enrollment:
    """An individual enrollment as DPS holds it; `document` is DPS's own form of it, opaque to flows."""

    slots: Slots
    document: Mapping[str, object]


class Enrollments(Protocol):
    """DPS individual enrollments."""

    async def read(self, device: DeviceId) -> Enrollment | None:
        """The device's enrollment. Raises Unavailable, Misconfigured."""
        ...

    async def put(
        self, device: DeviceId, hub_host: str, slot: Slot, certificate: Certificate, found: Enrollment | None
    ) -> None:
        """Put the certificate into the slot of what was found, touching nothing else, or create the enrollment.

        Raises StaleVersionError when what was found has changed; where nothing was, DPS replaces what was made since.
        Raises Unavailable, Misconfigured too.
        """
        ...

    async def block(self, device: DeviceId) -> None:
        """Disable the device's enrollment, or create a disabled one for its registration id, kept for ever.

        A group device is blocked this way too: DPS takes the individual enrollment before the group. Safe to repeat.
        """
        ...

    async def unblock(self, device: DeviceId) -> None:
        """Enable the device's enrollment again, or remove it where `block` has made it. Safe to repeat."""
        ...

    async def registration(self, device: DeviceId) -> str | None:
        """The host name of the hub that DPS has the device assigned to; None when it has no registration."""
        ...


@dataclass(frozen=True, slots=True)
class Group:
    """A DPS enrollment group. The slots hold SHA-256 thumbprints of its signing certificates.

    `by_reference` when it names CA certificates of the DPS instead. `document` is DPS's own form of it.
    """

    slots: Slots
    by_reference: bool
    document: Mapping[str, object]


class Groups(Protocol):
    """DPS enrollment groups."""

    async def read(self, group: str) -> Group | None:
        """The group. Raises Unavailable, Misconfigured."""
        ...

    async def put(self, group: str, found: Group, change: Mapping[Slot, x509.Certificate | None]) -> None:
        """Replace or empty some slots of what was found, and touch nothing else of it.

        Raises StaleVersionError when it has changed since, and Unavailable, Misconfigured.
        """
        ...
