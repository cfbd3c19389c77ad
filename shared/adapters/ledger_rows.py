"""How the ledger's values look as rows of Azure Table Storage, and back."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from shared.core.certificate import Certificate
from shared.core.fleet import Block, Claim, Device, LedgerCertificate
from shared.core.identity import DeviceId, registration_key

type Row = dict[str, Any]

DEVICE = "device"
CERTIFICATE = "cert-"
CLAIM = "claim-"


def partition(device: DeviceId) -> str:
    """The device's partition key. Ids that differ in case alone share one, because DPS takes them for one device.

    Table keys forbid slashes, #, ? and control characters: all but letters, digits, dash and full stop becomes _xx.
    """
    key = registration_key(device)
    return "".join(one if one.isalnum() or one in "-." else f"_{ord(one):02x}" for one in key)


def device_row(device: Device) -> Row:
    return {
        "PartitionKey": partition(device.device_id),
        "RowKey": DEVICE,
        "DeviceId": str(device.device_id),
        "Label": device.label,
        "Created": device.created,
        "Hub": device.hub,
        "Current": device.current,
        "Latest": device.latest,
        "Block": device.block.value,
        "IssuedOn": device.issued_on.isoformat() if device.issued_on else "",
        "IssuedCount": device.issued_count,
    }


def device(row: Mapping[str, Any]) -> Device:
    return Device(
        device_id=DeviceId(row["DeviceId"]),
        label=row["Label"],
        created=_utc(row["Created"]),
        hub=row["Hub"],
        current=row["Current"],
        latest=row["Latest"],
        block=Block(row["Block"]),
        issued_on=date.fromisoformat(row["IssuedOn"]) if row["IssuedOn"] else None,
        issued_count=row["IssuedCount"],
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
    )


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


def due_row(owner: DeviceId, kept: LedgerCertificate, due: date) -> Row:
    """A hint for the expiry scan: whoever reads it checks it against the device's partition."""
    return {
        "PartitionKey": due.isoformat(),
        "RowKey": f"{partition(owner)}~{kept.certificate.serial}",
        "DeviceId": str(owner),
    }


def thumbprint_row(owner: DeviceId, kept: LedgerCertificate) -> Row:
    """From a certificate to its device; 4,096 partitions spread the fleet."""
    thumbprint = kept.certificate.thumbprint
    return {"PartitionKey": thumbprint[:3], "RowKey": thumbprint, "DeviceId": str(owner)}


def _utc(value: datetime) -> datetime:
    """The SDK's own datetime type as a plain aware one, so that values compare and pickle as expected."""
    return datetime.fromtimestamp(value.timestamp(), UTC)
