"""Adoption: a certificate that somebody else has had issued by the label's CA enters the ledger, with the same life."""

from dataclasses import replace
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
from shared.core.profile import Profile

type Outcome = Literal["adopted", "known"]


def named(leaf: x509.Certificate, now: datetime) -> DeviceId:
    """The device that the certificate names as DPS reads it, by its common name. Raises Forbidden.

    That one of the label's CAs has signed it is for the caller to check.
    """
    if is_ca(leaf):
        raise Forbidden("this is the certificate of a CA")
    if leaf.not_valid_after_utc <= now:
        raise Forbidden("the certificate has expired")
    return device_named(leaf, "subject.common_name")


def adopted(
    known: Snapshot, profile: Profile, named_device: DeviceId, kept: LedgerCertificate, now: datetime
) -> Change | None:
    """What to write; None when the ledger has the certificate already. Raises Conflict, Forbidden.

    It becomes the newest if it began after the one that is. Which one is in use the hub tells, or the device.
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


def kept(leaf: x509.Certificate, profile: Profile, digicert_id: str) -> LedgerCertificate:
    """The certificate as the ledger will have it."""
    return LedgerCertificate(certificate(leaf), profile.label, source="adopted", digicert_id=digicert_id)
