"""Adoption: a certificate that somebody else has had issued by the label's CA enters the ledger, with the same life."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from shared.core import rotation
from shared.core.certificate import CLOCK_SKEW, certificate, is_ca
from shared.core.client_certificate import device_named
from shared.core.errors import Conflict, Forbidden
from shared.core.fleet import Block, Change, Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.core.lifecycle import event
from shared.core.policy import is_announced
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
    if leaf.not_valid_before_utc - CLOCK_SKEW > now:
        raise Forbidden("the certificate is not valid yet")
    return device_named(leaf, "subject.common_name")


def whole(seen: Seen) -> x509.Certificate | None:
    """What was seen, if it was shown whole. Raises Forbidden."""
    try:
        return x509.load_der_x509_certificate(seen.certificate) if seen.certificate else None
    except (ValueError, x509.InvalidVersion) as error:
        raise Forbidden("the certificate cannot be read", cause=repr(error)) from error


def is_seen(listed: x509.Certificate, seen: Seen, shown: x509.Certificate | None) -> bool:
    """Whether a certificate on DigiCert ONE's list is the one that was seen. IoT Hub takes SHA-1 thumbprints too.

    An ECDSA signature can be written in two ways, so what was shown whole may have a thumbprint that DigiCert ONE never
    made: there issuer and serial number tell.
    """
    thumbprints = (listed.fingerprint(SHA256()).hex(), listed.fingerprint(SHA1()).hex())  # noqa: S303 - IoT Hub's
    if seen.thumbprint.lower() in thumbprints:
        return True
    if shown is None or shown.serial_number != listed.serial_number:
        return False
    return _issuer(shown) == _issuer(listed)


def _issuer(leaf: x509.Certificate) -> bytes:
    """In DER; empty where it cannot be read, and then no CA of ours is its issuer."""
    try:
        return leaf.issuer.public_bytes()
    except ValueError:
        return b""


def adopted(
    known: Snapshot,
    profile: Profile,
    named_device: DeviceId,
    kept: LedgerCertificate,
    now: datetime,
    *,
    is_revoked: bool = False,
    is_shown: bool = False,
) -> Change | None:
    """What to write; None when the ledger has all of the certificate already. Raises Conflict, Forbidden.

    It becomes the newest if it began after the one that is. Which one is in use the hub tells, or the device; what
    nobody has shown (`is_shown`) throws out none that a device may just be changing over to. One that the CA has
    revoked is written down so, unless it is the newest: then its device is to be blocked, which says more.
    """
    device, held = known.device, known.certificate(kept.certificate.serial)
    if device is not None and held is not None:
        return _learnt(device, held, kept)
    if profile.unknown_devices == "manifest" and not is_announced(profile, known):
        raise Forbidden("the device is not on the manifest of this label")
    if device is not None and device.device_id != named_device:
        raise Conflict("a device whose id differs only in upper and lower case is known already")
    if device is not None and device.label != profile.label and (known.certificates or device.expected):
        raise Conflict("the device belongs to another label")
    latest = known.certificate(device.latest) if device else None
    after = replace(device or Device(named_device, profile.label, created=now), label=profile.label)
    made = kept.certificate
    if latest is None or latest.certificate.not_before < made.not_before:
        if device is not None and device.current not in ("", device.latest) and not is_shown:
            raise Conflict("the device is changing over to another certificate; import this one again when it has")
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


def _learnt(device: Device, held: LedgerCertificate, kept: LedgerCertificate) -> Change | None:
    """DigiCert ONE's id, where nobody had told it, and with it the certificate as DigiCert ONE has it."""
    if held.digicert_id or not kept.digicert_id or held.certificate.issuer != kept.certificate.issuer:
        return None
    return Change(device, (replace(held, digicert_id=kept.digicert_id, certificate=kept.certificate),))


def is_done(known: Snapshot, serial: str) -> bool:
    """Whether nothing follows any more from a certificate that is known: hub, enrollment or saga have come to it.

    The try that has written it down may have died before it sent for them.
    """
    device, held = known.device, known.certificate(serial)
    if device is None or held is None:
        return True
    if device.block is not Block.NONE:
        return held.status == "revoked"
    return held.status == "superseded" or device.current == device.latest == serial
