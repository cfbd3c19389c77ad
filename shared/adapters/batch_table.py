"""Batches and their shared pace in Azure Table Storage: a row for each, changed only as it was read."""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceExistsError
from azure.data.tables import UpdateMode

from shared.adapters.tables import BATCHES, SYNC, Row, Tables, encoded, refused, translated
from shared.core import pace
from shared.core.batch import Batch, Cursor, Lap, State, Streak
from shared.core.errors import Unavailable
from shared.flows.ports.batches import KeptBatch
from shared.flows.ports.clock import Clock
from shared.flows.ports.ledger import StaleVersionError

if TYPE_CHECKING:
    from azure.data.tables import TableEntity

_PARTITION: Final = "batch"
_PACE: Final = "pace~"
_ATTEMPTS: Final = 20


@dataclass(frozen=True)
class TableBatches:
    """Every method raises Unavailable when the store does not answer, Misconfigured when it refuses us."""

    tables: Tables

    async def create(self, batch: Batch) -> KeptBatch:
        try:
            made = await (await self.tables.table(BATCHES)).create_entity(_row(batch))
        except ResourceExistsError:
            found = await self.load(batch.id)
            if found is None:
                raise Unavailable(
                    "a service that is needed does not answer", retry_after=2, cause="batch gone"
                ) from None
            return found
        except AzureError as error:
            raise translated(error) from error
        return KeptBatch(batch, made["etag"])

    async def load(self, ident: str) -> KeptBatch | None:
        found = await self.tables.get(BATCHES, _PARTITION, encoded(ident))
        return KeptBatch(_batch(found), found.metadata["etag"] or "") if found is not None else None

    async def save(self, kept: KeptBatch, batch: Batch) -> KeptBatch:
        try:
            made = await (await self.tables.table(BATCHES)).update_entity(
                _row(batch), mode=UpdateMode.REPLACE, etag=kept.version, match_condition=MatchConditions.IfNotModified
            )
        except AzureError as error:
            raise refused(error) from error
        return KeptBatch(batch, made["etag"])

    async def every(self, state: State | None = None) -> AsyncIterator[Batch]:
        """The store itself leaves out what is in another state."""
        wanted, parameters = "PartitionKey eq @partition", {"partition": _PARTITION}
        if state is not None:
            wanted, parameters = f"{wanted} and State eq @state", {**parameters, "state": state}
        try:
            async for row in (await self.tables.table(BATCHES)).query_entities(wanted, parameters=parameters):
                yield _batch(row)
        except AzureError as error:
            raise translated(error) from error


@dataclass(frozen=True)
class TablePace:
    """One row says when the next turn is free. Instances whose clocks differ a little disturb it as little."""

    tables: Tables
    per_minute: int
    clock: Clock

    async def reserve(self, turns: int) -> tuple[datetime, ...]:
        """Raises Unavailable, Misconfigured."""
        for _ in range(_ATTEMPTS):
            found = await self.tables.get(SYNC, _PACE, _PACE)
            free = datetime.fromisoformat(found["Free"]) if found is not None else None
            reserved = pace.reserve(free, turns, self.per_minute, self.clock())
            if reserved is None:
                return ()
            first, after = reserved
            try:
                await self._write(found, after)
            except StaleVersionError:
                continue
            between = timedelta(minutes=1 / self.per_minute)
            return tuple(first + number * between for number in range(turns))
        raise Unavailable("too many instances want their turn at once", retry_after=5)

    async def _write(self, found: "TableEntity | None", free: datetime) -> None:
        row = {"PartitionKey": _PACE, "RowKey": _PACE, "Free": free.astimezone(UTC).isoformat()}
        try:
            table = await self.tables.table(SYNC)
            if found is None:
                await table.create_entity(row)
                return
            etag = found.metadata["etag"]
            condition = MatchConditions.IfNotModified
            await table.update_entity(row, mode=UpdateMode.REPLACE, etag=etag, match_condition=condition)
        except AzureError as error:
            raise refused(error) from error


def _row(batch: Batch) -> Row:
    """What is asked for by its id alone is one JSON text; `State` is for the search."""
    text = json.dumps(asdict(batch), default=datetime.isoformat)
    return {"PartitionKey": _PARTITION, "RowKey": encoded(batch.id), "State": batch.state, "Batch": text}


def _batch(row: "TableEntity") -> Batch:
    document: dict[str, Any] = json.loads(row["Batch"])
    for name in ("created", "begun", "changed", "waiting", "held_until", "due"):
        document[name] = _time(document[name])
    document["columns"] = tuple(document["columns"])
    document["cursor"] = Cursor(**document["cursor"])
    if lap := document["lap"]:
        document["lap"] = Lap(datetime.fromisoformat(lap["at"]), lap["row"], lap["share"])
    if streak := document["streak"]:
        document["streak"] = Streak(streak["rows"], Cursor(**streak["cursor"]), streak["counts"])
    return Batch(**document)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
