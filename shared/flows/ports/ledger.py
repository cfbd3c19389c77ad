"""What the flows need of the ledger, one device at a time."""

from datetime import date
from typing import Protocol

from shared.core.fleet import Change, Claim, Device, Snapshot
from shared.core.identity import DeviceId
from shared.core.revocation import Saga


class StaleVersionError(Exception):
    """Somebody else changed the device's partition since it was read: read again, decide again."""


class Ledger(Protocol):
    """Birthcert's own index. Every method raises Unavailable when the store does not answer."""

    async def load(self, device: DeviceId, claim_key: str = "") -> Snapshot:
        """The device, its certificates and one claim, in one reading."""
        ...

    async def claim(self, known: Snapshot, device: Device, claim: Claim) -> Snapshot:
        """Write device and claim together. Raises StaleVersionError."""
        ...

    async def release(self, known: Snapshot, device: Device) -> None:
        """Write the device and remove the claim, together. Raises StaleVersionError."""
        ...

    async def record(self, known: Snapshot, claim: Claim, change: Change, due: date) -> Snapshot:
        """Write index rows for the change's certificates, then claim and change together. Raises StaleVersionError."""
        ...

    async def adopt(self, known: Snapshot, change: Change, due: date) -> Snapshot:
        """As `record`, for certificates that no claim has led to. Raises StaleVersionError."""
        ...

    async def commit(self, known: Snapshot, change: Change) -> Snapshot:
        """Write all of the change in one transaction; a hint for saga and outbox is written before it.

        Returns the snapshot as it is now. Raises StaleVersionError.
        """
        ...


class SagaLedger(Ledger, Protocol):
    """The ledger, for who must know an old request again."""

    async def past_saga(self, device: DeviceId, ident: str) -> Saga | None:
        """A saga that was done when a later one began. Raises Unavailable."""
        ...
