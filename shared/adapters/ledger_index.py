"""The ledger's index tables: what is due when, what may be unfinished, whose a certificate is, how far timers came.

Their rows are hints, written before the transaction they speak of: one may name what never came to be, none is missing.
Whoever reads one checks it against the device's partition.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceModifiedError, ResourceNotFoundError

from shared.adapters.ledger_rows import partition
from shared.adapters.tables import DUE, HINTS, SERIALS, SYNC, THUMBPRINTS, Row, Tables, encoded, translated
from shared.core.certificate import Certificate
from shared.core.fleet import Change, Snapshot
from shared.core.identity import DeviceId
from shared.flows.ports.index import Due, Unfinished

_WATERMARK: Final = "watermark"


def certificate_rows(owner: DeviceId, certificate: Certificate, due: date) -> list[tuple[str, Row]]:
    """All that leads from a certificate, or from its day, to its device."""
    return [
        (DUE, _due_row(Due(owner, certificate.serial), due)),
        (THUMBPRINTS, _pointer(certificate.thumbprint, owner)),
        (THUMBPRINTS, _pointer(certificate.thumbprint_sha1, owner)),  # IoT Hub and DPS know this one as well
        (SERIALS, _pointer(certificate.serial, owner)),
    ]


def hint_rows(known: Snapshot, change: Change) -> list[tuple[str, Row]]:
    """Rows that say where a step leaves something to do: it opens a saga, or adds to the outbox."""
    kinds: list[Unfinished] = ["outbox"] if change.events else []
    opens = change.saga is not None and (known.saga is None or known.saga.id != change.saga.id)
    if opens:
        kinds.append("saga")
    owner = change.device.device_id
    return [(HINTS, {"PartitionKey": kind, "RowKey": partition(owner), "DeviceId": str(owner)}) for kind in kinds]


@dataclass(frozen=True)
class TableSchedule:
    """One partition per day, so that a scan costs what is due and nothing for the rest of the fleet."""

    tables: Tables

    async def due(self, day: date) -> AsyncIterator[Due]:
        """Page by page: a day of any size is read in the memory of one page, a thousand rows."""
        async for row in self.tables.scan(DUE, day.isoformat(), "RowKey", "DeviceId"):
            yield Due(DeviceId(row["DeviceId"]), row["RowKey"].rpartition("~")[2])

    async def add(self, due: Due, day: date) -> None:
        await self.tables.upsert((DUE, _due_row(due, day)))

    async def drop(self, due: Due, day: date) -> None:
        row = _due_row(due, day)
        await self.tables.drop(DUE, row["PartitionKey"], row["RowKey"])


@dataclass(frozen=True)
class TableHints:
    """A hint comes before its transaction, so one without anything unfinished behind it may be ahead of its time.

    That is why `drop` leaves a hint alone until it is older than `settled`: longer than a transaction may take with all
    of the SDK's retries, and than whoever drops it took to look. Both times are the store's own.
    """

    tables: Tables
    settled: timedelta = timedelta(minutes=10)

    async def unfinished(self, kind: Unfinished) -> AsyncIterator[DeviceId]:
        async for row in self.tables.scan(HINTS, kind, "DeviceId"):
            yield DeviceId(row["DeviceId"])

    async def drop(self, kind: Unfinished, device: DeviceId) -> None:
        """Remove the hint; one that is young, or was written again, stays for the next sweep."""
        asked: list[datetime] = []

        def note(response: Any) -> None:  # noqa: ANN401 - the SDK's PipelineResponse
            asked.append(parsedate_to_datetime(response.http_response.headers["Date"]))

        try:
            table = await self.tables.table(HINTS)
            found = await table.get_entity(kind, partition(device), raw_response_hook=note)
            written = found.metadata["timestamp"]
            if written is None or asked[-1] - written < self.settled:
                return
            etag = found.metadata["etag"]
            await table.delete_entity(found, etag=etag, match_condition=MatchConditions.IfNotModified)
        except (ResourceNotFoundError, ResourceModifiedError):
            return
        except AzureError as error:
            raise translated(error) from error


@dataclass(frozen=True)
class TableWatermarks:
    """A value has 32,000 characters at most: that is what a property of a table holds."""

    tables: Tables

    async def get(self, name: str) -> str:
        """The value, or an empty string."""
        found = await self.tables.get(SYNC, _WATERMARK, encoded(name))
        return str(found["Value"]) if found is not None else ""

    async def put(self, name: str, value: str) -> None:
        row = {"PartitionKey": _WATERMARK, "RowKey": encoded(name), "Name": name, "Value": value}
        await self.tables.upsert((SYNC, row))


@dataclass(frozen=True)
class TableIndex:
    """From a certificate to its device. Hex in either case, SHA-256 or SHA-1; leading zeros of serials do not count."""

    tables: Tables

    async def by_thumbprint(self, thumbprint: str) -> DeviceId | None:
        return await self._device(THUMBPRINTS, thumbprint.lower())

    async def by_serial(self, serial: str) -> DeviceId | None:
        return await self._device(SERIALS, serial.lower().lstrip("0"))

    async def _device(self, table: str, name: str) -> DeviceId | None:
        row = _pointer(name, DeviceId(""))
        found = await self.tables.get(table, row["PartitionKey"], row["RowKey"])
        return DeviceId(found["DeviceId"]) if found is not None else None


def _due_row(due: Due, day: date) -> Row:
    return {
        "PartitionKey": day.isoformat(),
        "RowKey": f"{partition(due.device_id)}~{due.serial}",
        "DeviceId": str(due.device_id),
    }


def _pointer(name: str, owner: DeviceId) -> Row:
    """The last three digits make 4,096 partitions, also where a CA counts its serial numbers up."""
    key = encoded(name)  # names come from CRLs and from devices, too
    return {"PartitionKey": key[-3:], "RowKey": key, "DeviceId": str(owner)}
