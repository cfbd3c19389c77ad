"""The ledger across devices: pages over the index of what is due, and over all of `fleet`.

A page is one answer of the store, which stops at `limit` rows, at a partition's server, or after five seconds: learn.
microsoft.com/rest/api/storageservices/query-timeout-and-pagination. Its continuation is handed on as the store gave it.
"""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import AzureError, HttpResponseError

from shared.adapters import ledger_rows as rows
from shared.adapters.tables import DUE, FLEET, Tables, translated
from shared.core.errors import Malformed
from shared.core.identity import DeviceId
from shared.core.searching import Search
from shared.flows.ports.index import CertificatePage, Due, DuePage, EndingPage, Listed

if TYPE_CHECKING:
    from azure.data.tables import TableEntity

_DUE_COLUMNS: Final = ("RowKey", "DeviceId")
_COLUMNS: Final = (
    "PartitionKey",
    "RowKey",
    "Thumbprint",
    "ThumbprintSha1",
    "SpkiSha256",
    "Subject",
    "Issuer",
    "NotBefore",
    "NotAfter",
    "Label",
    "Source",
    "DigicertId",
    "Status",
)
_MOST_ROWS: Final = 1000  # of one answer
_CERTIFICATES: Final = "RowKey ge 'cert-' and RowKey lt 'cert.'"


@dataclass(frozen=True, slots=True)
class _Query:
    table: str
    condition: str
    parameters: dict[str, Any]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class TableFleet:
    """Every method raises Unavailable when the store does not answer, Misconfigured when it refuses us."""

    tables: Tables

    async def due(self, until: date, limit: int, mark: str) -> DuePage:
        """Partitions are days, in their order: the store reads none that is later."""
        wanted = _Query(DUE, "PartitionKey le @until", {"until": until.isoformat()}, _DUE_COLUMNS)
        found, following = await self._page(wanted, limit, mark)
        hints = (Due(DeviceId(row["DeviceId"]), row["RowKey"].rpartition("~")[2]) for row in found)
        return DuePage(tuple(hints), following)

    async def certificates(self, search: Search) -> CertificatePage:
        """Only certificates' rows are sent, without their DER. Whose they are stands in the device's row."""
        found, following = await self._page(_certificates(search), search.limit, search.mark)
        owners = await self._owners({row["PartitionKey"] for row in found})
        listed = (
            Listed(owners[row["PartitionKey"]], rows.certificate({**row, "Der": b""}))
            for row in found
            if row["PartitionKey"] in owners
        )
        return CertificatePage(tuple(listed), following)

    async def endings(self, mark: str) -> EndingPage:
        """Two short columns a certificate: a million of them are read in minutes."""
        wanted = _Query(FLEET, f"{_CERTIFICATES} and Status eq @status", {"status": "issued"}, ("Label", "NotAfter"))
        found, following = await self._page(wanted, _MOST_ROWS, mark)
        return EndingPage(tuple((row["Label"], _utc(row["NotAfter"])) for row in found), following)

    async def _page(self, wanted: _Query, limit: int, mark: str) -> "tuple[list[TableEntity], str]":
        """One page of rows, and the mark of the next."""
        try:
            rows_found = (await self.tables.table(wanted.table)).query_entities(
                wanted.condition,
                parameters=wanted.parameters,
                select=list(wanted.columns),
                results_per_page=limit,
            )
            paged = rows_found.by_page(_token(mark))
            found = [row async for row in await anext(paged)]
        except AzureError as error:
            if mark and isinstance(error, HttpResponseError) and error.status_code == 400:
                raise Malformed('"continuation" must be what the page before gave, unchanged') from error
            raise translated(error) from error
        following = paged.continuation_token  # type: ignore[attr-defined] # AsyncPageIterator has it
        return found, json.dumps(following) if following else ""

    async def _owners(self, partitions: set[str]) -> dict[str, DeviceId]:
        """The exact spelling of each device's name: keys are without case, hubs compare with it."""
        each = sorted(partitions)
        found = await asyncio.gather(*(self.tables.get(FLEET, one, rows.DEVICE) for one in each))
        return {one: DeviceId(row["DeviceId"]) for one, row in zip(each, found, strict=True) if row is not None}


def _certificates(search: Search) -> _Query:
    conditions = [_CERTIFICATES]
    parameters: dict[str, Any] = {}
    if search.expires_before is not None:
        conditions.append("NotAfter lt @before")
        parameters["before"] = search.expires_before
    if search.status is not None:
        conditions.append("Status eq @status")
        parameters["status"] = search.status
    if search.label:
        conditions.append("Label eq @label")
        parameters["label"] = search.label
    return _Query(FLEET, " and ".join(conditions), parameters, _COLUMNS)


def _utc(value: datetime) -> datetime:
    """The SDK's own datetime type as a plain aware one."""
    return datetime.fromtimestamp(value.timestamp(), UTC)


def _token(mark: str) -> Any:  # noqa: ANN401 - the SDK's form, which it types as text and takes as a dict
    """Where the store goes on. Raises Malformed for what it never gave."""
    if not mark:
        return None
    try:
        found = json.loads(mark)
    except ValueError:
        found = None
    match found:
        case {"PartitionKey": str(), "RowKey": str() | None, **rest} if not rest:
            return found
        case _:
            raise Malformed('"continuation" must be what the page before gave, unchanged')
