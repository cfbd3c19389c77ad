"""What the flows need of the outside world, and no more than they call."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol

from cryptography import x509

from shared.core.certificate import Certificate
from shared.core.csr import SigningRequest
from shared.core.fleet import Change, Claim, Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.core.lifecycle import LifecycleEvent
from shared.core.revocation import Reason, Saga
from shared.core.rotation import Slot, Slots
from shared.core.searching import Search

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

    async def record(self, known: Snapshot, claim: Claim, change: Change, due: date) -> Snapshot:
        """Write index rows for the change's certificates, then claim and change together. Raises StaleVersionError."""
        ...

    async def commit(self, known: Snapshot, change: Change) -> Snapshot:
        """Write all of the change in one transaction; a hint for saga and outbox is written before it.

        Returns the snapshot as it is now. Raises StaleVersionError.
        """
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

    async def block(self, device: DeviceId) -> None:
        """Disable the device's enrollment, or create a disabled one for its registration id, kept for ever.

        A group device is blocked this way too: DPS takes the individual enrollment before the group. Safe to repeat.
        """
        ...

    async def unblock(self, device: DeviceId, *, individual: bool) -> None:
        """Enable the individual enrollment again, or remove the one that blocked a device of a group."""
        ...

    async def registration(self, device: DeviceId) -> str | None:
        """The host name of the hub that DPS has the device assigned to; None when it has no registration."""
        ...


@dataclass(frozen=True, slots=True)
class HubIdentity:
    """The device as the IoT Hub registry holds it. `primary` and `secondary` are thumbprints as they stand there.

    `document` is the SDK's own form of it, opaque to flows: it goes back whole, so that nothing else is touched.
    """

    primary: str
    secondary: str
    enabled: bool
    document: object = None

    @property
    def thumbprints(self) -> tuple[str, ...]:
        return tuple(one for one in (self.primary, self.secondary) if one)


class Hubs(Protocol):
    """The registries and twins of the linked IoT Hubs. All raise Unavailable, and Misconfigured for an unknown hub."""

    async def identity(self, hub: str, device: DeviceId) -> HubIdentity | None:
        """The device's identity; None when the hub has none."""
        ...

    async def put_thumbprints(self, hub: str, device: DeviceId, found: HubIdentity, slots: Slots) -> None:
        """Replace both thumbprints of what was found, with If-Match. Raises StaleVersionError."""
        ...

    async def set_enabled(self, hub: str, device: DeviceId, found: HubIdentity, *, enabled: bool, why: str) -> None:
        """Enable or disable the identity that was found, with If-Match. Raises StaleVersionError."""
        ...

    async def remove(self, hub: str, device: DeviceId) -> None:
        """Delete the identity; it may be gone already."""
        ...

    async def tag(self, hub: str, device: DeviceId, tags: Mapping[str, object]) -> None:
        """Merge `certificate: tags` into the twin's tags. An identity that is gone is no error."""
        ...

    async def desire(self, hub: str, device: DeviceId, properties: Mapping[str, object]) -> bool:
        """Merge `certificate: properties` into the desired properties. False when the identity is gone."""
        ...

    async def reported_serial(self, hub: str, device: DeviceId) -> str:
        """`properties.reported.certificate.serial` of the twin, lower-case hex, or an empty string."""
        ...

    async def invoke(self, hub: str, device: DeviceId, method: str, payload: Mapping[str, object]) -> bool:
        """Call a direct method. False when the device is not online or does not know it."""
        ...


class Revocation(Protocol):
    """DigiCert ONE's revocation for one label."""

    async def revoke(self, certificate: LedgerCertificate, why: Reason, comment: str) -> None:
        """Revoke the certificate; one that is revoked already, or that cannot be found any more, is done.

        Raises Unavailable, Throttled, UpstreamRefused, OutcomeUnknown (revoking again does no harm).
        """
        ...


class Announcements(Protocol):
    """The Event Grid topic of lifecycle events."""

    async def publish(self, events: Sequence[LifecycleEvent]) -> None:
        """At least once. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Due:
    """A certificate whose renewal is due; a hint, to be checked against the device's partition."""

    device_id: DeviceId
    serial: str


class Schedule(Protocol):
    """The index of what is due when. All raise Unavailable."""

    def due(self, day: date) -> AsyncIterator[Due]:
        """What is due on that day."""
        ...

    async def add(self, due: Due, day: date) -> None:
        """Put it down for a day; safe to repeat."""
        ...

    async def drop(self, due: Due, day: date) -> None:
        """It is no longer due on that day; it may be gone already."""
        ...


type Unfinished = Literal["saga", "outbox"]


class Hints(Protocol):
    """Which devices may have unfinished sagas, or events in their outbox. All raise Unavailable."""

    def unfinished(self, kind: Unfinished) -> AsyncIterator[DeviceId]: ...

    async def drop(self, kind: Unfinished, device: DeviceId) -> None: ...


class Watermarks(Protocol):
    """How far the timers have come, by name. All raise Unavailable."""

    async def get(self, name: str) -> str: ...

    async def put(self, name: str, value: str) -> None: ...


class Index(Protocol):
    """From a certificate to its device; hints, to be checked against the device's partition. All raise Unavailable."""

    async def by_thumbprint(self, thumbprint: str) -> DeviceId | None: ...

    async def by_serial(self, serial: str) -> DeviceId | None: ...


class Work(Protocol):
    """Queues for what must not be lost and need not be instant. All raise Unavailable. `delay` is in seconds."""

    async def settle(self, device: DeviceId, label: str, delay: int = 0) -> None:
        """Bring the device's entries in DPS and IoT Hub up to date."""
        ...

    async def nudge(self, due: Due, day: date, delay: int = 0) -> None:
        """Ask the device to renew, if it still has to."""
        ...

    async def saga(self, device: DeviceId, delay: int = 0) -> None:
        """Go on with the device's saga."""
        ...

    async def publish(self, device: DeviceId) -> None:
        """Publish what is in the device's outbox."""
        ...


class SagaLedger(Ledger, Protocol):
    """The ledger, for who must know an old request again."""

    async def past_saga(self, device: DeviceId, ident: str) -> Saga | None:
        """A saga that was done when a later one began. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Download:
    """A CRL as it was served, with the marks by which a server knows what we have; empty when it gave none."""

    der: bytes
    etag: str = ""
    modified: str = ""


class Crls(Protocol):
    """Where CAs publish what they have revoked."""

    async def fetch(self, url: str, etag: str, modified: str) -> Download | None:
        """The CRL; None when it is still the one with these marks. Raises Unavailable, UpstreamRefused, TooLarge."""
        ...


@dataclass(frozen=True, slots=True)
class RevokedPage:
    """Serial numbers, lower-case hex; `next` is the offset of the page after it, `total` the length of the list."""

    serials: tuple[str, ...]
    next: int
    total: int


class RevokedList(Protocol):
    """What DigiCert ONE lists as revoked, for one label."""

    async def page(self, offset: int) -> RevokedPage:
        """A part of the list. Raises Unavailable, Throttled, UpstreamRefused."""
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


@dataclass(frozen=True, slots=True)
class DuePage:
    """A part of the index of what is due; `mark` is where it goes on, empty at the end."""

    due: tuple[Due, ...]
    mark: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A certificate of a device. Its DER is left out: a list does without."""

    device_id: DeviceId
    certificate: LedgerCertificate


@dataclass(frozen=True, slots=True)
class CertificatePage:
    """A part of the whole ledger, as far as the store came in one go: it may hold few certificates or none."""

    certificates: tuple[Listed, ...]
    mark: str


class Fleet(Protocol):
    """The ledger across devices. All raise Unavailable, and Malformed for a mark that the store never gave."""

    async def due(self, until: date, limit: int, mark: str) -> DuePage:
        """What is due for renewal up to and with that day, by day. Hints; one certificate may be there twice."""
        ...

    async def certificates(self, search: Search) -> CertificatePage:
        """Every certificate that fits, device by device: a reading of the whole ledger."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """A write that an operator has asked for. `scope` is the device or the queue, `key` the operator's own.

    `body` is a fingerprint of what was asked, `note` what has to be known when it is asked again.
    """

    scope: str
    key: str
    body: str
    at: datetime
    note: str = ""


@dataclass(frozen=True, slots=True)
class KeptWish:
    """`first` for who has brought it. `version` is the store's own mark, opaque here."""

    wish: Wish
    first: bool
    version: str


class Wishes(Protocol):
    """The operators' writes by their idempotency keys, kept for ever. All raise Unavailable."""

    async def keep(self, wish: Wish) -> KeptWish:
        """The wish of that scope and key: this one, unless there is one already. Of many at once one is first."""
        ...

    async def change(self, kept: KeptWish, wish: Wish) -> KeptWish:
        """Put another in its place. Raises StaleVersionError when somebody else has."""
        ...


class Poison(Protocol):
    """Messages that no handler could take. All raise Unavailable."""

    async def counts(self) -> Mapping[str, int]:
        """How many there are about, for each queue of the app."""
        ...

    async def replay(self, queue: str, limit: int) -> int:
        """Put up to `limit` of them back into their queue; how many those were. None is lost; one may come twice."""
        ...
