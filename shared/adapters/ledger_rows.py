"""How the ledger's values look as rows of Azure Table Storage, and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any, Final

from shared.adapters.tables import Row, encoded
from shared.core.certificate import Certificate
from shared.core.fleet import BatchRow, Block, Claim, Device, Expected, Failure, LedgerCertificate, RecentEvent
from shared.core.identity import DeviceId, registration_key
from shared.core.lifecycle import LifecycleEvent
from shared.core.passcode import OneTimePasscode
from shared.core.revocation import Reason, Saga, Step

DEVICE: Final = "device"
CERTIFICATE: Final = "cert-"
CLAIM: Final = "claim-"
SAGA: Final = "saga"
EVENT: Final = "event-"


def partition(device: DeviceId) -> str:
    """The device's partition key. Ids that differ in case alone share one, because DPS takes them for one device."""
    return encoded(registration_key(device))


def device_row(device: Device, recent: Sequence[RecentEvent]) -> Row:
    failure = device.failure
    return {
        "PartitionKey": partition(device.device_id),
        "RowKey": DEVICE,
        "DeviceId": str(device.device_id),
        "Label": device.label,
        "Created": device.created,
        "Hub": device.hub,
        "Current": device.current,
        "Latest": device.latest,
        "AskedWith": device.asked_with,
        "RotatingSince": device.rotating_since,  # no property at all while None, as with the others
        "Block": device.block.value,
        "BlockReason": device.block_reason,
        "BlockedAt": device.blocked_at,
        "IssuedOn": device.issued_on.isoformat() if device.issued_on else "",
        "IssuedCount": device.issued_count,
        "Connected": device.connected,
        "Sequence": device.sequence,
        "LastSeen": device.last_seen,
        "NudgedAt": device.nudged_at,
        "Nudges": device.nudges,
        "FailureReason": failure.reason if failure else "",
        "FailureAt": failure.at if failure else None,
        "FailureAddress": failure.address if failure else "",
        "Expected": json.dumps(asdict(device.expected)) if device.expected else None,
        "Passcode": _passcode_text(device.passcode) if device.passcode else None,
        "Recent": json.dumps([(one.id, one.kind, one.time.isoformat(), one.serial) for one in recent]),
    }


def device(row: Mapping[str, Any]) -> Device:
    failed_at = _utc_or_none(row.get("FailureAt"))
    return Device(
        device_id=DeviceId(row["DeviceId"]),
        label=row["Label"],
        created=_utc(row["Created"]),
        hub=row["Hub"],
        current=row["Current"],
        latest=row["Latest"],
        asked_with=row.get("AskedWith", ""),
        rotating_since=_utc_or_none(row.get("RotatingSince")),
        block=Block(row["Block"]),
        block_reason=row["BlockReason"],
        blocked_at=_utc_or_none(row.get("BlockedAt")),
        issued_on=date.fromisoformat(row["IssuedOn"]) if row["IssuedOn"] else None,
        issued_count=row["IssuedCount"],
        connected=row["Connected"],
        sequence=row["Sequence"],
        last_seen=_utc_or_none(row.get("LastSeen")),
        nudged_at=_utc_or_none(row.get("NudgedAt")),
        nudges=row["Nudges"],
        failure=Failure(row["FailureReason"], failed_at, row["FailureAddress"]) if failed_at else None,
        expected=Expected(**json.loads(row["Expected"])) if row.get("Expected") else None,
        passcode=_passcode(row["Passcode"]) if row.get("Passcode") else None,
    )


def recent(row: Mapping[str, Any]) -> tuple[RecentEvent, ...]:
    """None stands in a row that was written before events were kept."""
    kept = json.loads(row.get("Recent", "[]"))
    return tuple(RecentEvent(ident, kind, datetime.fromisoformat(at), serial) for ident, kind, at, serial in kept)


def _passcode_text(kept: OneTimePasscode) -> str:
    document = asdict(kept) | {
        "salt": kept.salt.hex(),
        "digest": kept.digest.hex(),
        "expires": kept.expires.isoformat(),
        "held_until": kept.held_until.isoformat() if kept.held_until else None,
    }
    return json.dumps(document)


def _passcode(text: str) -> OneTimePasscode:
    document = json.loads(text)
    return OneTimePasscode(
        salt=bytes.fromhex(document["salt"]),
        digest=bytes.fromhex(document["digest"]),
        expires=datetime.fromisoformat(document["expires"]),
        cost=document["cost"],
        failures=document["failures"],
        burnt_by=document["burnt_by"],
        held_by=document["held_by"],
        held_until=datetime.fromisoformat(document["held_until"]) if document["held_until"] else None,
    )


def certificate_row(owner: DeviceId, kept: LedgerCertificate) -> Row:
    certificate = kept.certificate
    return {
        "PartitionKey": partition(owner),
        "RowKey": CERTIFICATE + certificate.serial,
        "Der": certificate.der,
        "Thumbprint": certificate.thumbprint,
        "ThumbprintSha1": certificate.thumbprint_sha1,
        "SpkiSha256": certificate.spki_sha256,
        "Subject": certificate.subject,
        "Issuer": certificate.issuer,
        "NotBefore": certificate.not_before,
        "NotAfter": certificate.not_after,
        "Label": kept.label,
        "Source": kept.source,
        "DigicertId": kept.digicert_id,
        "Status": kept.status,
        "Batch": f"{kept.batch.batch}/{kept.batch.row}" if kept.batch else "",
        "RevokedByCa": kept.revoked_by_ca,
    }


def certificate(row: Mapping[str, Any]) -> LedgerCertificate:
    return LedgerCertificate(
        Certificate(
            der=row["Der"],
            serial=row["RowKey"].removeprefix(CERTIFICATE),
            thumbprint=row["Thumbprint"],
            thumbprint_sha1=row["ThumbprintSha1"],
            spki_sha256=row["SpkiSha256"],
            subject=row["Subject"],
            issuer=row["Issuer"],
            not_before=_utc(row["NotBefore"]),
            not_after=_utc(row["NotAfter"]),
        ),
        label=row["Label"],
        source=row["Source"],
        digicert_id=row["DigicertId"],
        status=row["Status"],
        batch=_batch_row(row.get("Batch", "")),
        revoked_by_ca=row.get("RevokedByCa", False),
    )


def _batch_row(text: str) -> BatchRow | None:
    batch, _, row = text.rpartition("/")
    return BatchRow(batch, int(row)) if batch else None


def claim_row(owner: DeviceId, claim: Claim) -> Row:
    return {
        "PartitionKey": partition(owner),
        "RowKey": CLAIM + claim.key,
        "State": claim.state,
        "LeaseUntil": claim.lease_until,
        "Serial": claim.serial,
    }


def claim(row: Mapping[str, Any]) -> Claim:
    return Claim(row["RowKey"].removeprefix(CLAIM), row["State"], _utc(row["LeaseUntil"]), row["Serial"])


def past_saga_key(ident: str) -> str:
    return f"{SAGA}-{encoded(ident)}"


def saga_row(owner: DeviceId, saga: Saga, key: str = SAGA) -> Row:
    """The steps are read and written with their saga alone, so all of it is one JSON text."""
    document = {
        "id": saga.id,
        "verb": saga.verb,
        "reason": saga.reason.value,
        "caller": saga.caller,
        "comment": saga.comment,
        "begun": saga.begun.isoformat(),
        "steps": [
            {
                "name": step.name,
                "done_at": step.done_at.isoformat() if step.done_at else None,
                "failures": step.failures,
                "error": step.error,
            }
            for step in saga.steps
        ],
    }
    return {"PartitionKey": partition(owner), "RowKey": key, "Saga": json.dumps(document, ensure_ascii=False)}


def saga(row: Mapping[str, Any]) -> Saga:
    document = json.loads(row["Saga"])
    steps = (
        Step(
            one["name"],
            datetime.fromisoformat(one["done_at"]) if one["done_at"] else None,
            one["failures"],
            one["error"],
        )
        for one in document["steps"]
    )
    return Saga(
        id=document["id"],
        verb=document["verb"],
        reason=Reason(document["reason"]),
        caller=document["caller"],
        comment=document["comment"],
        begun=datetime.fromisoformat(document["begun"]),
        steps=tuple(steps),
    )


def event_key(ident: str) -> str:
    return EVENT + encoded(ident)


def event_row(owner: DeviceId, event: LifecycleEvent) -> Row:
    return {
        "PartitionKey": partition(owner),
        "RowKey": event_key(event.id),
        "EventId": event.id,
        "Kind": event.kind,
        "DeviceId": str(event.device_id),
        "Time": event.time,
        "Data": json.dumps(dict(event.data), ensure_ascii=False),
    }


def event(row: Mapping[str, Any]) -> LifecycleEvent:
    return LifecycleEvent(
        row["EventId"], row["Kind"], DeviceId(row["DeviceId"]), _utc(row["Time"]), json.loads(row["Data"])
    )


def _utc(value: datetime) -> datetime:
    """The SDK's own datetime type as a plain aware one, so that values compare and pickle as expected."""
    return datetime.fromtimestamp(value.timestamp(), UTC)


def _utc_or_none(value: datetime | None) -> datetime | None:
    return None if value is None else _utc(value)
