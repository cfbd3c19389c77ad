"""What the flows need of the outside world, and no more than they call."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from cryptography import x509

from shared.core.certificate import Certificate
from shared.core.csr import SigningRequest
from shared.core.fleet import Claim, Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.core.rotation import Slot, Slots

type Clock = Callable[[], datetime]
type Pause = Callable[[float], Awaitable[None]]


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

    async def record(
        self, known: Snapshot, device: Device, claim: Claim, certificate: LedgerCertificate, due: date
    ) -> None:
        """Write index rows, then device, claim and certificate together. Raises StaleVersionError."""
        ...

    async def save(self, known: Snapshot, device: Device) -> None:
        """Write the device alone. Raises StaleVersionError."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """Certificates as the upstream sent them, unchecked; `digicert_id` is empty when it did not tell."""

    certificates: list[x509.Certificate]
    digicert_id: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """The upstream accepted the request and will decide later: ask again after `retry_after` seconds."""

    retry_after: int


class Upstream(Protocol):
    """DigiCert ONE for one label."""

    async def issue(self, request: SigningRequest, renews: str) -> Answer | Pending:
        """Ask for a certificate; `renews` is DigiCert ONE's id of the certificate being renewed, or empty.

        Raises UpstreamRefused, Malformed, Throttled, Unavailable when nothing was issued, OutcomeUnknown when that
        is not known.
        """
        ...

    async def poll(self, request: SigningRequest) -> Answer | Pending:
        """Ask again for what was pending. Raises as `issue`."""
        ...

    async def find(self, request: SigningRequest) -> Answer | None:
        """The newest valid certificate with the request's public key that was issued before. Raises Unavailable."""
        ...


class ChainSource(Protocol):
    """Where a label's CA certificates come from."""

    async def fetch(self) -> list[x509.Certificate]:
        """Root and issuing CAs. Raises Unavailable, UpstreamRefused."""
        ...


class Secrets(Protocol):
    """Key Vault."""

    async def get(self, name: str) -> str:
        """The secret's value, perhaps minutes old. Raises Unavailable, Misconfigured."""
        ...


class FreshSecrets(Secrets, Protocol):
    """Key Vault, for who has just been told that a secret is no longer right."""

    async def get_fresh(self, name: str) -> str:
        """The secret's value as it is now. Raises as `get`."""
        ...


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


@dataclass(frozen=True, slots=True)
class HubIdentity:
    """The device as the IoT Hub registry holds it; thumbprints as they stand there, empty when there is none."""

    thumbprints: tuple[str, ...]
    enabled: bool


class Hubs(Protocol):
    """The device registries of the linked IoT Hubs."""

    async def identity(self, hub: str, device: DeviceId) -> HubIdentity | None:
        """The device's identity; None when the hub has none. Raises Unavailable, Misconfigured for an unknown hub."""
        ...


class Work(Protocol):
    """Queues for what must not be lost and need not be instant."""

    async def settle(self, device: DeviceId, label: str) -> None:
        """Bring the device's entries in DPS up to date soon. Raises Unavailable."""
        ...
