"""The ledger on Azure Table Storage: one partition per device, one atomic transaction per step of its life.

Every transaction writes the device's row on condition that it is as it was read, so that of two writers one is stale.

A transaction takes 100 rows at most: learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions.
A change of more, as when a device with hundreds of certificates is revoked, is split: what does not fit, certificates
and published events, goes first, each part on the same condition; the part with the device, the saga and the new events
is the last one and decides. After a crash in between nothing is decided, and the flow does the whole step again.
"""

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import AzureError
from azure.data.tables import UpdateMode

from shared.adapters import ledger_index as index
from shared.adapters import ledger_rows as rows
from shared.adapters.tables import FLEET, Row, Tables, refused, translated
from shared.core.fleet import Change, Claim, Device, RecentEvent, Snapshot, recent
from shared.core.identity import DeviceId
from shared.core.revocation import Saga
from shared.telemetry import measures

if TYPE_CHECKING:
    from azure.data.tables import TableEntity

# `-` and the character after it bound the rows of a kind. `saga-…`, the sagas of the past, are left out.
_SELECTED: Final = (
    "PartitionKey eq @partition and (RowKey eq 'device' or RowKey eq 'saga' or RowKey eq @claim "
    "or (RowKey ge 'cert-' and RowKey lt 'cert.') or (RowKey ge 'event-' and RowKey lt 'event.'))"
)
_TRANSACTION: Final = 100
_SHOWN: Final = ("create", "update")

type Operation = tuple[Any, ...]


@dataclass(frozen=True)
class TableLedger:
    """Every method raises Unavailable when the store does not answer, Misconfigured when it refuses us."""

    tables: Tables

    async def load(self, device: DeviceId, claim_key: str = "") -> Snapshot:
        """One query inside one partition."""
        parameters = {"partition": rows.partition(device), "claim": rows.CLAIM + claim_key}
        try:
            table = await self.tables.table(FLEET)
            found = [row async for row in table.query_entities(_SELECTED, parameters=parameters)]
        except AzureError as error:
            raise translated(error) from error
        return _snapshot(found)

    async def past_saga(self, device: DeviceId, ident: str) -> Saga | None:
        """A saga that was done when a later one began."""
        found = await self.tables.get(FLEET, rows.partition(device), rows.past_saga_key(ident))
        return rows.saga(found) if found is not None else None

    async def claim(self, known: Snapshot, device: Device, claim: Claim) -> Snapshot:
        return await self._write(known, Change(device), claim)

    async def release(self, known: Snapshot, device: Device) -> None:
        operations = [_put(known, rows.device_row(device, known.recent))]
        if known.claim is not None:
            operations.append(_delete(known, rows.claim_row(device.device_id, known.claim)))
        await self._submit(operations)

    async def record(self, known: Snapshot, claim: Claim, change: Change, due: date) -> Snapshot:
        return await self._recorded(known, claim, change, due)

    async def adopt(self, known: Snapshot, change: Change, due: date) -> Snapshot:
        return await self._recorded(known, None, change, due)

    async def _recorded(self, known: Snapshot, claim: Claim | None, change: Change, due: date) -> Snapshot:
        """Index rows first: they are hints, and an orphan among them is harmless."""
        owner = change.device.device_id
        hints = index.hint_rows(known, change)
        for kept in change.certificates:
            hints += index.certificate_rows(owner, kept.certificate, due)
        await self.tables.upsert(*hints)
        return await self._write(known, change, claim)

    async def commit(self, known: Snapshot, change: Change) -> Snapshot:
        await self.tables.upsert(*index.hint_rows(known, change))
        return await self._write(known, change)

    async def ping(self) -> None:
        """Raises Unavailable, Misconfigured unless the store answers."""
        await self.load(DeviceId("-"))

    async def _write(self, known: Snapshot, change: Change, claim: Claim | None = None) -> Snapshot:
        """The change in one transaction, or the parts of it that do not fit, and then the one that decides."""
        decisive, rest = _operations(known, change, claim)
        if len(decisive) > _TRANSACTION:
            raise ValueError(f"a step of a device's life has {len(decisive)} rows beside its certificates")
        guard = known.device or change.device
        versions: dict[str, str] = {}
        while len(decisive) + len(rest) > _TRANSACTION:
            now = replace(known, versions={**known.versions, **versions})
            versions |= await self._submit([_put(now, rows.device_row(guard, known.recent)), *rest[: _TRANSACTION - 1]])
            rest = rest[_TRANSACTION - 1 :]
            decisive[0] = _put(replace(known, versions=versions), _device_row(known, change))
        versions |= await self._submit([*decisive, *rest])
        for event in change.events:  # what is written down has happened, by whichever way
            measures.lifecycle(event.kind, change.device.label)
        return _after(known, change, claim, versions)

    async def _submit(self, operations: list[Operation]) -> dict[str, str]:
        """One entity-group transaction; the new versions of the rows that a reading shows."""
        try:
            results = await (await self.tables.table(FLEET)).submit_transaction(operations)
        except AzureError as error:
            raise refused(error) from error
        pairs = zip(operations, results, strict=True)
        return {operation[1]["RowKey"]: result["etag"] for operation, result in pairs if operation[0] in _SHOWN}


def _operations(known: Snapshot, change: Change, claim: Claim | None) -> tuple[list[Operation], list[Operation]]:
    """What decides, the device's row first, and what may go before it."""
    owner = change.device.device_id
    written = [_device_row(known, change)]
    if claim is not None:
        written.append(rows.claim_row(owner, claim))
    if change.saga is not None:
        written.append(rows.saga_row(owner, change.saga))
    decisive = [_put(known, row) for row in written]
    if change.saga is not None and known.saga is not None and known.saga.id != change.saga.id:
        past = rows.saga_row(owner, known.saga, rows.past_saga_key(known.saga.id))
        decisive.append(("upsert", past, {"mode": UpdateMode.REPLACE}))  # it was not read, and is what was read
    unpublished = (event for event in change.events if event.id not in change.published)
    decisive += [_put(known, rows.event_row(owner, event)) for event in unpublished]
    rest = [_put(known, rows.certificate_row(owner, kept)) for kept in change.certificates]
    partition = rows.partition(owner)
    gone = [{"PartitionKey": partition, "RowKey": rows.event_key(ident)} for ident in change.published]
    rest += [_delete(known, row) for row in gone if row["RowKey"] in known.versions]
    return decisive, rest


def _snapshot(found: "list[TableEntity]") -> Snapshot:
    device, claim, saga, certificates, events = None, None, None, [], []
    last: tuple[RecentEvent, ...] = ()
    versions: dict[str, str] = {}
    for row in found:
        key = row["RowKey"]
        versions[key] = row.metadata["etag"] or ""
        if key == rows.DEVICE:
            device, last = rows.device(row), rows.recent(row)
        elif key == rows.SAGA:
            saga = rows.saga(row)
        elif key.startswith(rows.CLAIM):
            claim = rows.claim(row)
        elif key.startswith(rows.EVENT):
            events.append(rows.event(row))
        else:
            certificates.append(rows.certificate(row))
    events.sort(key=lambda event: (event.time, event.id))
    return Snapshot(device, claim, tuple(certificates), saga, tuple(events), last, versions)


def _after(known: Snapshot, change: Change, claim: Claim | None, versions: dict[str, str]) -> Snapshot:
    """What `load` would now find."""
    certificates = {one.certificate.serial: one for one in (*known.certificates, *change.certificates)}
    events = {one.id: one for one in (*known.outbox, *change.events) if one.id not in change.published}
    gone = {rows.event_key(ident) for ident in change.published}
    return Snapshot(
        device=change.device,
        claim=claim or known.claim,
        certificates=tuple(certificates[serial] for serial in sorted(certificates)),
        saga=change.saga or known.saga,
        outbox=tuple(sorted(events.values(), key=lambda event: (event.time, event.id))),
        recent=recent(known, change),
        versions={key: etag for key, etag in {**known.versions, **versions}.items() if key not in gone},
    )


def _device_row(known: Snapshot, change: Change) -> Row:
    return rows.device_row(change.device, recent(known, change))


def _put(known: Snapshot, row: Row) -> Operation:
    """Create a row that was not there, or replace the version that was read."""
    etag = known.versions.get(row["RowKey"])
    if etag is None:
        return ("create", row)
    return ("update", row, {"mode": UpdateMode.REPLACE, "etag": etag, "match_condition": MatchConditions.IfNotModified})


def _delete(known: Snapshot, row: Row) -> Operation:
    etag = known.versions.get(row["RowKey"])
    return ("delete", row, {"etag": etag, "match_condition": MatchConditions.IfNotModified})
