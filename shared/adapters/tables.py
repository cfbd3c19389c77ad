"""Azure Table Storage as the ledger and its indexes use it: clients of tables, encoded keys, and what errors mean."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableTransactionError, UpdateMode

from shared.core.errors import Misconfigured, Unavailable
from shared.flows.ports.ledger import StaleVersionError

if TYPE_CHECKING:
    from azure.data.tables import TableEntity
    from azure.data.tables.aio import TableClient, TableServiceClient

type Row = dict[str, Any]

FLEET: Final = "fleet"
DUE: Final = "due"
THUMBPRINTS: Final = "thumbprints"
SERIALS: Final = "serials"
HINTS: Final = "hints"
SYNC: Final = "sync"
BATCHES: Final = "batches"
_ALL: Final = (FLEET, DUE, THUMBPRINTS, SERIALS, HINTS, SYNC, BATCHES)

_LONGEST_KEY: Final = 200


def encoded(text: str) -> str:
    """The text as part of a table key; different texts have different keys.

    Table keys forbid slashes, #, ? and control characters and have 1 KiB: all but ASCII letters, digits, dash and full
    stop becomes _xx, byte by byte, and the end of a key that grows too long becomes its hash.
    """
    safe = "".join(
        chr(one) if one < 128 and (chr(one).isalnum() or one in b"-.") else f"_{one:02x}" for one in text.encode()
    )
    if len(safe) <= _LONGEST_KEY:
        return safe
    return f"{safe[: _LONGEST_KEY - 65]}~{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True)
class Tables:
    """The tables of one storage account. The first call creates those that are missing."""

    service: "TableServiceClient"
    _clients: dict[str, "TableClient"] = field(default_factory=dict, repr=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def table(self, name: str) -> "TableClient":
        """Raises AzureError."""
        if not self._clients:
            async with self._lock:
                if not self._clients:
                    await asyncio.gather(*(self.service.create_table_if_not_exists(one) for one in _ALL))
                    self._clients.update({one: self.service.get_table_client(one) for one in _ALL})
        return self._clients[name]

    async def upsert(self, *rows: tuple[str, Row]) -> None:
        """Write rows of index tables side by side, whatever was there. Raises Unavailable, Misconfigured."""
        try:
            tables = [await self.table(name) for name, _ in rows]
            await asyncio.gather(
                *(
                    table.upsert_entity(row, mode=UpdateMode.REPLACE)
                    for table, (_, row) in zip(tables, rows, strict=True)
                )
            )
        except AzureError as error:
            raise translated(error) from error

    async def get(self, name: str, partition: str, row: str) -> "TableEntity | None":
        """One row, or None. Raises Unavailable, Misconfigured."""
        try:
            return await (await self.table(name)).get_entity(partition, row)
        except ResourceNotFoundError:
            return None
        except AzureError as error:
            raise translated(error) from error

    async def scan(self, name: str, partition: str, *columns: str) -> AsyncIterator["TableEntity"]:
        """The rows of one partition, page by page as they are asked for. Raises Unavailable, Misconfigured."""
        try:
            found = (await self.table(name)).query_entities(
                "PartitionKey eq @partition", parameters={"partition": partition}, select=list(columns)
            )
            async for row in found:
                yield row
        except AzureError as error:
            raise translated(error) from error

    async def drop(self, name: str, partition: str, row: str) -> None:
        """Delete a row; it may be gone already. Raises Unavailable, Misconfigured."""
        try:
            await (await self.table(name)).delete_entity(partition, row)  # the SDK takes 404 for done
        except AzureError as error:
            raise translated(error) from error


def translated(error: AzureError) -> Misconfigured | Unavailable:
    """SDK errors end here."""
    if isinstance(error, ClientAuthenticationError) or (
        isinstance(error, HttpResponseError) and error.status_code == 403
    ):
        return Misconfigured("the service is not set up correctly", cause=f"the ledger refuses us: {error!r}")
    return Unavailable("a service that is needed does not answer", retry_after=2, cause=f"ledger: {error!r}")


def refused(error: AzureError) -> StaleVersionError | Misconfigured | Unavailable:
    """The same, for a write that has conditions."""
    if isinstance(error, ResourceExistsError | ResourceModifiedError | ResourceNotFoundError):
        return StaleVersionError()
    if isinstance(error, TableTransactionError) and error.status_code in (404, 409, 412):
        return StaleVersionError()
    return translated(error)
