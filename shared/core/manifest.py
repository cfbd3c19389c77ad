"""The manifest: devices that a factory will produce, before any of them has asked for a certificate."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from shared.core import table_rows
from shared.core.errors import Conflict, Malformed
from shared.core.fleet import Block, Device, Expected, Snapshot
from shared.core.identity import DeviceId, device_id
from shared.core.names import is_plain
from shared.core.profile import Label
from shared.core.table_rows import TableRow

type Outcome = Literal["expected", "already expected", "refused"]

OUTCOMES: Final[tuple[Outcome, ...]] = ("expected", "already expected", "refused")
_SERIAL: Final = 64


@dataclass(frozen=True, slots=True)
class Announced:
    """One row of a manifest."""

    device_id: DeviceId
    label: Label
    expected: Expected


def read(content: bytes, *, is_csv: bool) -> list[TableRow]:
    """The rows of a manifest. A condition that is misspelled would let in anybody. Raises Malformed, TooLarge."""
    return table_rows.read(
        content,
        is_csv=is_csv,
        required=("device_id",),
        optional=("label", "factory_thumbprint", "hardware_serial"),
        reserved=("factory_", "hardware_"),
    )


def announced(row: TableRow, label: Label) -> Announced:
    """What the row says; `label` is for rows that have none of their own. Raises Malformed."""
    if row.problem:
        raise Malformed(row.problem)
    thumbprint = re.sub(r"[\s:]", "", row.values.get("factory_thumbprint", "")).lower()
    if thumbprint and not re.fullmatch(r"[0-9a-f]{64}", thumbprint):
        raise Malformed("factory_thumbprint must be the SHA-256 of the factory certificate: 64 hex digits")
    serial = row.values.get("hardware_serial", "")
    if len(serial) > _SERIAL or not is_plain(serial):
        raise Malformed(f"hardware_serial must be plain text of at most {_SERIAL} characters")
    wanted = row.values.get("label", "") or label
    if not wanted:
        raise Malformed("the row has no label, and the query names none")
    return Announced(device_id(row.values["device_id"]), wanted, Expected(thumbprint, serial))


def entered(known: Snapshot, wanted: Announced, now: datetime) -> Device | None:
    """The device as the manifest wants it; None when it is so already. Raises Conflict.

    A device that has a certificate is beyond a manifest: what it was born with cannot be changed afterwards.
    """
    device = known.device
    if device is None:
        return Device(wanted.device_id, wanted.label, created=now, expected=wanted.expected)
    if device.device_id != wanted.device_id:
        raise Conflict("a device whose id differs only in upper and lower case is known already")
    if device.block is not Block.NONE:
        raise Conflict("the device is blocked")
    if (device.label, device.expected) == (wanted.label, wanted.expected):
        return None
    if known.certificates:
        raise Conflict("the device has a certificate already")
    return replace(device, label=wanted.label, expected=wanted.expected)
