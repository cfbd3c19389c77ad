"""What the ledger knows of one device: values that cross the ledger port, nothing of how they are stored."""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from typing import Final, Literal

from shared.core.certificate import Certificate
from shared.core.identity import DeviceId
from shared.core.lifecycle import Kind, LifecycleEvent
from shared.core.passcode import OneTimePasscode
from shared.core.profile import Label
from shared.core.revocation import Saga

# How a certificate came: over EST, by an operator's request, in a batch, or issued by somebody else and found.
type Source = Literal["est", "rest", "batch", "adopted"]

MOST_RECENT: Final = 20


class Block(Enum):
    """Whether the device may do anything at all. A hold can be undone, a revocation cannot."""

    NONE = ""
    HOLD = "hold"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why DPS last refused the device, from its diagnostic log."""

    reason: str
    at: datetime
    address: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What the manifest says of the device that will come, beside its label; empty where it says nothing.

    `factory_thumbprint` is the SHA-256 of its factory certificate, lower-case hex, `hardware_serial` the serialNumber
    in the subject of that.
    """

    factory_thumbprint: str = ""
    hardware_serial: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """The device itself.

    `hub` is the name of the IoT Hub it was last seen in, `current` the serial of the certificate known to be in use,
    `latest` that of the newest one, `asked_with` that of the one it was asked for with, empty when that was none of
    ours. While current and latest differ a rotation is open, since `rotating_since`.
    `expected` is set for a device that a manifest has announced.
    `issued_count` counts the certificates begun on the day `issued_on` (UTC). `sequence` is the sequence number of the
    last connection event that was taken in, `connected` what it said.
    """

    device_id: DeviceId
    label: Label
    created: datetime
    hub: str = ""
    current: str = ""
    latest: str = ""
    asked_with: str = ""
    rotating_since: datetime | None = None
    block: Block = Block.NONE
    block_reason: str = ""
    blocked_at: datetime | None = None
    issued_on: date | None = None
    issued_count: int = 0
    connected: bool = False
    sequence: str = ""
    last_seen: datetime | None = None
    nudged_at: datetime | None = None
    nudges: int = 0
    failure: Failure | None = None
    expected: Expected | None = None
    passcode: OneTimePasscode | None = None


@dataclass(frozen=True, slots=True)
class BatchRow:
    """The batch that asked for a certificate, by its id, and the row, by its number."""

    batch: str
    row: int


@dataclass(frozen=True, slots=True)
class LedgerCertificate:
    """A certificate of the device. `digicert_id` is DigiCert ONE's own id of it, empty when EST did not tell.

    `revoked_by_ca`: as replaced, while the device still used it. It is `revoked` once the device has changed over.
    """

    certificate: Certificate
    label: Label
    source: Source
    digicert_id: str = ""
    status: Literal["issued", "superseded", "revoked"] = "issued"
    batch: BatchRow | None = None
    revoked_by_ca: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to ask DigiCert ONE for one certificate, and what became of it.

    open: somebody asked, or is asking until `lease_until`; afterwards nobody knows whether a certificate exists.
    pending: DigiCert ONE answered 202 and has issued nothing yet. issued: `serial` is the answer.
    """

    key: str
    state: Literal["open", "pending", "issued"]
    lease_until: datetime
    serial: str = ""


@dataclass(frozen=True, slots=True)
class RecentEvent:
    """What stays of a lifecycle event when it has left the outbox. `serial` is empty when it is of no certificate."""

    id: str
    kind: Kind
    time: datetime
    serial: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent reading of a device's partition. `versions` are the store's own marks, opaque here.

    `saga` is the latest one, open or done; `outbox` the lifecycle events that are not published yet, `recent` the last
    few, published or not, the latest at the end.
    """

    device: Device | None = None
    claim: Claim | None = None
    certificates: tuple[LedgerCertificate, ...] = ()
    saga: Saga | None = None
    outbox: tuple[LifecycleEvent, ...] = ()
    recent: tuple[RecentEvent, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    def certificate(self, serial: str) -> LedgerCertificate | None:
        return next((one for one in self.certificates if one.certificate.serial == serial), None)

    def by_thumbprint(self, thumbprint: str) -> LedgerCertificate | None:
        """By SHA-256 or SHA-1 hex: IoT Hub accepts 64 or 40 digits, in either case."""
        wanted = thumbprint.lower()
        return next(
            (
                one
                for one in self.certificates
                if wanted in (one.certificate.thumbprint, one.certificate.thumbprint_sha1)
            ),
            None,
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What one step writes into a device's partition, all of it or nothing.

    Certificates, saga and events are written as they are; `published` are the ids of events to take out of the outbox.
    """

    device: Device
    certificates: tuple[LedgerCertificate, ...] = ()
    saga: Saga | None = None
    events: tuple[LifecycleEvent, ...] = ()
    published: tuple[str, ...] = ()


def recent(known: Snapshot, change: Change) -> tuple[RecentEvent, ...]:
    """The last events of a device once the change is made. One that is repeated has happened when it last did."""
    repeated = {one.id for one in change.events}
    kept = [one for one in known.recent if one.id not in repeated]
    new = [RecentEvent(one.id, one.kind, one.time, one.data.get("serial", "")) for one in change.events]
    return tuple((kept + new)[-MOST_RECENT:])
