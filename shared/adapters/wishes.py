"""The operators' writes by their idempotency keys, in Azure Table Storage.

They stand beside the watermarks in `sync`, in partitions of their own: a watermark's partition has no `~`.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceExistsError
from azure.data.tables import UpdateMode

from shared.adapters.tables import SYNC, Row, Tables, encoded, refused, translated
from shared.core.errors import Unavailable
from shared.flows.ports.operators import KeptWish, Wish

if TYPE_CHECKING:
    from azure.data.tables import TableEntity

_PARTITION: Final = "wish~"


@dataclass(frozen=True)
class TableWishes:
    """Every method raises Unavailable when the store does not answer, Misconfigured when it refuses us."""

    tables: Tables

    async def keep(self, wish: Wish) -> KeptWish:
        """A creation whose answer was lost looks like another's: its wish is then no longer first."""
        row = _row(wish)
        try:
            made = await (await self.tables.table(SYNC)).create_entity(row)
        except ResourceExistsError:
            found = await self.tables.get(SYNC, row["PartitionKey"], row["RowKey"])
            if found is None:
                raise Unavailable(
                    "a service that is needed does not answer", retry_after=2, cause="wish gone"
                ) from None
            return KeptWish(_wish(found, wish), first=False, version=found.metadata["etag"] or "")
        except AzureError as error:
            raise translated(error) from error
        return KeptWish(wish, first=True, version=made["etag"])

    async def change(self, kept: KeptWish, wish: Wish) -> KeptWish:
        try:
            made = await (await self.tables.table(SYNC)).update_entity(
                _row(wish),
                mode=UpdateMode.REPLACE,
                etag=kept.version,
                match_condition=MatchConditions.IfNotModified,
            )
        except AzureError as error:
            raise refused(error) from error
        return replace(kept, wish=wish, version=made["etag"])


def _row(wish: Wish) -> Row:
    return {
        "PartitionKey": _PARTITION + encoded(wish.scope),
        "RowKey": encoded(wish.key),
        "Body": wish.body,
        "At": wish.at,
        "Note": wish.note,
    }


def _wish(row: "TableEntity", wanted: Wish) -> Wish:
    at = datetime.fromtimestamp(row["At"].timestamp(), UTC)  # the SDK's own type as a plain one
    return Wish(wanted.scope, wanted.key, row["Body"], at, row["Note"])
