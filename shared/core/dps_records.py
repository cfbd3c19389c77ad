"""DPS's diagnostic records (category DeviceOperations), as they come through an Event Hub.

DPS emits no Event Grid events, so these records are the one later sign of a registration. They are best effort, minutes
late and unordered: they are reconciled with, never trusted. Microsoft documents the fields but not whether `properties`
comes as an object or as text that holds JSON, so both are read.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.core.errors import Malformed
from shared.core.events import EARLIEST_YEAR, DpsFailure
from shared.core.fleet import Failure
from shared.core.identity import DeviceId, device_id

_LONGEST = 300


@dataclass(frozen=True, slots=True)
class DpsRegistered:
    """DPS has registered the device, first or again."""

    device_id: DeviceId


@dataclass(frozen=True, slots=True)
class NotRead:
    """A record that is not acted on, and why."""

    reason: str


type DpsRecord = DpsRegistered | DpsFailure | NotRead


def parse_batch(body: bytes) -> list[DpsRecord]:
    """The records of one Event Hub message: `{"records": […]}`, or one record alone. Never raises."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return [NotRead("the message is no JSON")]
    records = document.get("records") if isinstance(document, dict) else None
    return [_record(one) for one in (records if isinstance(records, list) else [document])]


def _record(record: Any) -> DpsRecord:  # noqa: ANN401 - JSON of any shape
    """Field names are compared without case: Log Analytics and Event Hubs spell them in two ways."""
    if not isinstance(record, dict):
        return NotRead("the record is no object")
    fields = {str(key).lower(): value for key, value in record.items()}
    if str(fields.get("category", "")).lower() != "deviceoperations":
        return NotRead("the record is of another category")
    try:
        properties: Any = fields.get("properties", fields.get("properties_s"))
        properties = json.loads(properties) if isinstance(properties, str) else properties
        name = device_id(properties["id"])
    except (ValueError, TypeError, KeyError, RecursionError, Malformed):
        return NotRead("the record names no device")
    if str(fields.get("resulttype", "")).lower() in ("success", "0", ""):
        return DpsRegistered(name)
    return _failure(name, fields)


def _failure(name: DeviceId, fields: dict[str, Any]) -> DpsRecord:
    try:
        at = _utc(datetime.fromisoformat(str(fields.get("time", fields.get("timegenerated", "")))))
    except (ValueError, OverflowError):  # which a zone at either end of all years leads to
        return NotRead("the record has no time")
    said = [str(fields.get(field) or "") for field in ("resultsignature", "resultdescription")]
    reason = ": ".join(filter(None, said)) or str(fields.get("resulttype"))
    address = str(fields.get("calleripaddress") or "")
    return DpsFailure(name, Failure(reason[:_LONGEST], at, address[:64]))


def _utc(at: datetime) -> datetime:
    utc = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    if utc.year < EARLIEST_YEAR:
        raise ValueError("nothing of ours happened then")
    return utc
