"""Adoption: a certificate that somebody else has had issued by the label's CA enters the ledger, with the same life."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from cryptography import x509

from shared.core import rotation
from shared.core.certificate import certificate, is_ca
from shared.core.client_certificate import device_named
from shared.core.errors import Conflict, Forbidden
from shared.core.fleet import Change, Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.core.lifecycle import event
from shared.core.profile import Label, Profile

type Outcome = Literal["adopted", "known"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A certificate that DPS, a hub or an import has shown: its DER, or its thumbprint alone (SHA-1 or SHA-256, hex).

    `hub` is the name of the IoT Hub that has it, `label` the profile it came by; empty where nothing tells them.
    """

    label: Label
    common_name: str
    thumbprint: str
    certificate: bytes = b""
    hub: str = ""


def read(
    leaf: x509.Certificate, profile: Profile, digicert_id: str, now: datetime
) -> tuple[DeviceId, LedgerCertificate]:
    """The device that the certificate names as DPS reads it, by its common name; and what the ledger keeps of it.

    Raises Forbidden. That one of the label's CAs has signed it is for the caller to check.
    """
    try:
        return _named(leaf, now), LedgerCertificate(certificate(leaf), profile.label, "adopted", digicert_id)
    except Forbidden:
        raise
    except Exception as error:  # a certificate's properties are parsed lazily and raise without a common base
        raise Forbidden("the certificate cannot be read", cause=repr(error)) from error


def _named(leaf: x509.Certificate, now: datetime) -> DeviceId:
    if is_ca(leaf):
        raise Forbidden("this is the certificate of a CA")
    if leaf.not_valid_after_utc <= now:
        raise Forbidden("the certificate has expired")
    return device_named(leaf, "subject.common_name")


def adopted(
    known: Snapshot,
    profile: Profile,
    named_device: DeviceId,
    kept: LedgerCertificate,
    now: datetime,
    *,
    is_revoked: bool = False,
) -> Change | None:
    """What to write; None when the ledger has the certificate already. Raises Conflict, Forbidden.

    It becomes the newest if it began after the one that is. Which one is in use the hub tells, or the device. One that
    the CA has revoked is written down so, unless it is the newest: then its device is to be blocked, which says more.
    """
    device = known.device
    if known.certificate(kept.certificate.serial) is not None:
        return None
    if device is None and profile.unknown_devices == "manifest":
        raise Forbidden("the device is not on the manifest of this label")
    if device is not None and device.device_id != named_device:
        raise Conflict("a device whose id differs only in upper and lower case is known already")
    if device is not None and device.label != profile.label and (known.certificates or device.expected):
        raise Conflict("the device belongs to another label")
    latest = known.certificate(device.latest) if device else None
    after = replace(device or Device(named_device, profile.label, created=now), label=profile.label)
    made = kept.certificate
    if latest is None or latest.certificate.not_before < made.not_before:
        after = rotation.opened(known, replace(after, latest=made.serial), "", now)
    elif is_revoked:
        kept = replace(kept, status="revoked")
    happened = event(
        "adopted",
        after.device_id,
        now,
        made.serial,
        serial=made.serial,
        thumbprint=made.thumbprint,
        not_after=made.not_after.isoformat(),
        label=profile.label,
    )
    return Change(after, (kept,), events=(happened,))
