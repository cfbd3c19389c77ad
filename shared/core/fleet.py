"""What the ledger knows of one device: values that cross the ledger port, nothing of how they are stored."""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from typing import Literal

from shared.core.certificate import Certificate
from shared.core.identity import DeviceId
from shared.core.profile import Label


class Block(Enum):
    """Whether the device may do anything at all. A hold can be undone, a revocation cannot."""

    NONE = ""
    HOLD = "hold"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Device:
    """The device itself. `hub` is the name of the IoT Hub it was last seen in, `current` the serial known to be in use.

    `issued_count` counts the certificates begun on the day `issued_on` (UTC).
    """

    device_id: DeviceId
    label: Label
    created: datetime
    hub: str = ""
    current: str = ""
    latest: str = ""
    block: Block = Block.NONE
    issued_on: date | None = None
    issued_count: int = 0


@dataclass(frozen=True, slots=True)
class LedgerCertificate:
    """A certificate of the device. `digicert_id` is DigiCert ONE's own id of it, empty when EST did not tell."""

    certificate: Certificate
    label: Label
    source: Literal["est", "rest"]
    digicert_id: str = ""
    status: Literal["issued", "revoked"] = "issued"


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
class Snapshot:
    """One consistent reading of a device's partition. `versions` are the store's own marks, opaque here."""

    device: Device | None = None
    claim: Claim | None = None
    certificates: tuple[LedgerCertificate, ...] = ()
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
