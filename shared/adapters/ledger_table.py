"""The ledger on Azure Table Storage: one partition per device, one atomic transaction per step of its life."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableTransactionError, UpdateMode

from shared.adapters import ledger_rows as rows
from shared.core.errors import Misconfigured, Unavailable
from shared.core.fleet import Claim, Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.flows.ports import StaleVersionError

if TYPE_CHECKING:
    from azure.data.tables import TableEntity
    from azure.data.tables.aio import TableClient, TableServiceClient

FLEET: Final = "fleet"
DUE: Final = "due"
THUMBPRINTS: Final = "thumbprints"
_TABLES: Final = (FLEET, DUE, THUMBPRINTS)

# `cert-` and the character after `-` bound the certificate rows.
_SELECTED: Final = (
    "PartitionKey eq @partition and "
    "(RowKey eq 'device' or RowKey eq @claim or (RowKey ge 'cert-' and RowKey lt 'cert.'))"
)


@dataclass(frozen=True)
class TableLedger:
    """Every method raises Unavailable when the store does not answer, Misconfigured when it refuses us."""

    service: "TableServiceClient"
    _tables: dict[str, "TableClient"] = field(default_factory=dict, repr=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def load(self, device: DeviceId, claim_key: str = "") -> Snapshot:
        """One query inside one partition."""
        parameters = {"partition": rows.partition(device), "claim": rows.CLAIM + claim_key}
        try:
            table = await self._table(FLEET)
            found = [row async for row in table.query_entities(_SELECTED, parameters=parameters)]
        except AzureError as error:
            raise _translated(error) from error
        return _snapshot(found)

    async def claim(self, known: Snapshot, device: Device, claim: Claim) -> Snapshot:
        written = [rows.device_row(device), rows.claim_row(device.device_id, claim)]
        versions = await self._write([_put(known, row) for row in written], written)
        return replace(known, device=device, claim=claim, versions={**known.versions, **versions})

    async def release(self, known: Snapshot, device: Device) -> None:
        operations = [_put(known, rows.device_row(device))]
        if known.claim is not None:
            operations.append(_delete(known, rows.claim_row(device.device_id, known.claim)))
        await self._write(operations, [])

    async def record(
        self, known: Snapshot, device: Device, claim: Claim, certificate: LedgerCertificate, due: date
    ) -> None:
        """Index rows first: they are hints, and an orphan among them is harmless."""
        owner = device.device_id
        try:
            await asyncio.gather(
                (await self._table(DUE)).upsert_entity(rows.due_row(owner, certificate, due)),
                (await self._table(THUMBPRINTS)).upsert_entity(rows.thumbprint_row(owner, certificate)),
            )
        except AzureError as error:
            raise _translated(error) from error
        operations = [
            _put(known, rows.device_row(device)),
            _put(known, rows.claim_row(owner, claim)),
            # Replaced when it is there: the same answer of the CA may be written down twice.
            ("upsert", rows.certificate_row(owner, certificate), {"mode": UpdateMode.REPLACE}),
        ]
        await self._write(operations, [])

    async def save(self, known: Snapshot, device: Device) -> None:
        await self._write([_put(known, rows.device_row(device))], [])

    async def ping(self) -> None:
        """Raises Unavailable, Misconfigured unless the store answers."""
        await self.load(DeviceId("-"))

    async def _write(self, operations: list[Any], written: list[rows.Row]) -> dict[str, str]:
        """One entity-group transaction; the new versions of the rows `written`, which come first in it."""
        try:
            results = await (await self._table(FLEET)).submit_transaction(operations)
        except AzureError as error:
            raise _translated(error) from error
        return {row["RowKey"]: result["etag"] for row, result in zip(written, results, strict=False)}

    async def _table(self, name: str) -> "TableClient":
        """The client of a table; the first call creates the tables that are missing."""
        if not self._tables:
            async with self._lock:
                if not self._tables:
                    await asyncio.gather(*(self.service.create_table_if_not_exists(one) for one in _TABLES))
                    self._tables.update({one: self.service.get_table_client(one) for one in _TABLES})
        return self._tables[name]


def _snapshot(found: "list[TableEntity]") -> Snapshot:
    device, claim, certificates = None, None, []
    versions: dict[str, str] = {}
    for row in found:
        key = row["RowKey"]
        versions[key] = row.metadata["etag"] or ""
        if key == rows.DEVICE:
            device = rows.device(row)
        elif key.startswith(rows.CLAIM):
            claim = rows.claim(row)
        else:
            certificates.append(rows.certificate(row))
    return Snapshot(device, claim, tuple(certificates), versions)


def _put(known: Snapshot, row: rows.Row) -> tuple[Any, ...]:
    """Create a row that was not there, or replace the version that was read."""
    etag = known.versions.get(row["RowKey"])
    if etag is None:
        return ("create", row)
    return ("update", row, {"mode": UpdateMode.REPLACE, "etag": etag, "match_condition": MatchConditions.IfNotModified})


def _delete(known: Snapshot, row: rows.Row) -> tuple[Any, ...]:
    etag = known.versions.get(row["RowKey"])
    return ("delete", row, {"etag": etag, "match_condition": MatchConditions.IfNotModified})


def _translated(error: AzureError) -> Exception:
    """SDK errors end here."""
    if isinstance(error, ResourceExistsError | ResourceModifiedError | ResourceNotFoundError):
        return StaleVersionError()
    if isinstance(error, TableTransactionError) and error.status_code in (404, 409, 412):
        return StaleVersionError()
    if isinstance(error, ClientAuthenticationError) or (
        isinstance(error, HttpResponseError) and error.status_code == 403
    ):
        return Misconfigured("the service is not set up correctly", cause=f"the ledger refuses us: {error!r}")
    return Unavailable("a service that is needed does not answer", retry_after=2, cause=f"ledger: {error!r}")
