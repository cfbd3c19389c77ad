"""When a device is asked to renew, how loudly, and when again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from shared.core.certificate import Certificate
from shared.core.fleet import Block, Device, LedgerCertificate, Snapshot
from shared.core.profile import RenewalRules

type Urgency = Literal["due", "soon", "urgent"]

# Of the time between the renewal point and the end: half of it left is soon, a fifth is urgent.
_SOON: Final = 0.5
_URGENT: Final = 0.2
_SHORTEST: Final = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Nudge:
    """Ask now, this loudly, and again at `again` unless the device has renewed by then.

    `expiring` when it was never asked so urgently for this certificate before.
    """

    urgency: Urgency
    again: datetime
    expiring: bool = False


@dataclass(frozen=True, slots=True)
class Later:
    """It was asked a short while ago, or is on hold."""

    again: datetime


@dataclass(frozen=True, slots=True)
class NoMore:
    """Asking has no sense any more, and why."""

    reason: Literal["unknown", "renewed", "revoked", "blocked", "expired"]


def decide(
    known: Snapshot, serial: str, rules: RenewalRules, renewal_point: float, now: datetime
) -> Nudge | Later | NoMore:
    """What to do about a certificate that is due for renewal."""
    device, kept = known.device, known.certificate(serial)
    if device is None or kept is None:
        return NoMore("unknown")
    gone = _no_more(device, kept, now)
    if gone is not None:
        return gone
    urgency = urgency_of(kept.certificate, renewal_point, now)
    every = interval(kept.certificate, rules, urgency, now)
    if device.block is Block.HOLD:
        return Later(now + every)  # a hold can be undone, and the device must then be asked again
    if device.nudged_at is not None and now < device.nudged_at + every * 0.9:
        return Later(device.nudged_at + every)
    told = device.nudged_at is not None and urgency_of(kept.certificate, renewal_point, device.nudged_at) == "urgent"
    return Nudge(urgency, now + every, expiring=urgency == "urgent" and not told)


def _no_more(device: Device, kept: LedgerCertificate, now: datetime) -> NoMore | None:
    if device.block is Block.REVOKED:
        return NoMore("blocked")
    if kept.status == "revoked":
        return NoMore("revoked")
    if device.latest != kept.certificate.serial:
        return NoMore("renewed")
    return NoMore("expired") if now > kept.certificate.not_after else None


def urgency_of(certificate: Certificate, renewal_point: float, now: datetime) -> Urgency:
    """How near the end is, as a share of the time that the device was given to renew in."""
    begin = certificate.renewal_due(renewal_point)
    left = (certificate.not_after - now) / (certificate.not_after - begin)
    if left <= _URGENT:
        return "urgent"
    return "soon" if left <= _SOON else "due"


def interval(certificate: Certificate, rules: RenewalRules, urgency: Urgency, now: datetime) -> timedelta:
    """How long to wait before asking again: the profile's own time, shorter as the end comes near."""
    every = timedelta(hours=rules.nudge_every_hours) / {"due": 1, "soon": 2, "urgent": 4}[urgency]
    return max(_SHORTEST, min(every, (certificate.not_after - now) / 4))
