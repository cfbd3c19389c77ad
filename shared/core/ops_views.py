"""What operators read over `/api`, as JSON. docs/openapi.json describes each of these forms."""

from datetime import UTC, datetime
from typing import Final, Literal

from shared.core.fleet import Device, LedgerCertificate, RecentEvent, Snapshot
from shared.core.identity import DeviceId
from shared.core.passcode import MAX_FAILURES, OneTimePasscode
from shared.core.revocation import Saga

type View = dict[str, object]
type RotationState = Literal["none", "unseen", "settled", "rotating", "beside"]

MOST_CERTIFICATES: Final = 100


def device_view(known: Snapshot, device: Device) -> View:
    """All that the ledger knows of a device. The newest certificates and events stand first; old ones are counted."""
    waiting = {one.id for one in known.outbox}
    certificates = sorted(known.certificates, key=lambda one: one.certificate.not_before, reverse=True)
    failure = device.failure
    return {
        "device_id": device.device_id,
        "label": device.label,
        "created": _time(device.created),
        "block": {
            "state": device.block.value or "none",
            "reason": device.block_reason or None,
            "since": _time(device.blocked_at),
        },
        "hub": device.hub or None,
        "connection": {"connected": device.connected, "last_seen": _time(device.last_seen)},
        "rotation": {
            "state": rotation_state(device),
            "current": device.current or None,
            "latest": device.latest or None,
            "since": _time(device.rotating_since),
        },
        "nudges": {"count": device.nudges, "last": _time(device.nudged_at)},
        "issued": {"day": device.issued_on.isoformat() if device.issued_on else None, "count": device.issued_count},
        "failure": failure and {"reason": failure.reason, "at": _time(failure.at), "address": failure.address},
        "passcode": device.passcode and passcode_view(device.passcode),
        "certificates": [certificate_view(one) for one in certificates[:MOST_CERTIFICATES]],
        "certificates_total": len(certificates),
        "saga": known.saga and saga_view(known.saga),
        "events": [event_view(one, published=one.id not in waiting) for one in reversed(known.recent)],
        "events_unpublished": len(waiting),
    }


def rotation_state(device: Device) -> RotationState:
    """In the words of core/rotation.py."""
    if not device.latest:
        return "none"
    if not device.current:
        return "unseen"
    if device.current == device.latest:
        return "settled"
    return "rotating" if device.rotating_since else "beside"


def passcode_view(passcode: OneTimePasscode) -> View:
    """Why a worker at the line may be refused with it."""
    return {
        "expires": _time(passcode.expires),
        "wrong_tries": passcode.failures,
        "most_wrong_tries": MAX_FAILURES,
        "used": bool(passcode.burnt_by),
    }


def certificate_view(kept: LedgerCertificate) -> View:
    certificate = kept.certificate
    return {
        "serial": certificate.serial,
        "status": kept.status,
        "label": kept.label,
        "source": kept.source,
        "digicert_id": kept.digicert_id or None,
        "thumbprint": certificate.thumbprint,
        "thumbprint_sha1": certificate.thumbprint_sha1,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "not_before": _time(certificate.not_before),
        "not_after": _time(certificate.not_after),
    }


def listed_view(device: DeviceId, kept: LedgerCertificate) -> View:
    """A certificate in a list, where its device must be told."""
    return {"device_id": device, **certificate_view(kept)}


def saga_view(saga: Saga) -> View:
    return {
        "id": saga.id,
        "verb": saga.verb,
        "reason": saga.reason.value,
        "caller": saga.caller,
        "comment": saga.comment,
        "begun": _time(saga.begun),
        "done": saga.next is None,
        "steps": [
            {
                "name": step.name,
                "done_at": _time(step.done_at),
                "failures": step.failures,
                "error": step.error or None,
            }
            for step in saga.steps
        ],
    }


def event_view(event: RecentEvent, *, published: bool) -> View:
    return {
        "id": event.id,
        "kind": event.kind,
        "time": _time(event.time),
        "serial": event.serial or None,
        "published": published,
    }


def _time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
