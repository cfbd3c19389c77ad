"""Manifests: the devices that may come, put down one by one, so that a broken row spoils no other."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.core import manifest as rules
from shared.core.errors import Again, Malformed, Misconfigured, Refusal, Unavailable
from shared.core.fleet import Change
from shared.core.identity import registration_key
from shared.core.manifest import Announced, Outcome
from shared.core.profile import Label, Profiles
from shared.core.table_rows import TableRow
from shared.flows.ports.clock import Clock
from shared.flows.ports.ledger import Ledger, StaleVersionError

_AT_ONCE: Final = 16
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Entered:
    """What became of a row."""

    row: TableRow
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class Manifest:
    profiles: Profiles
    ledger: Ledger
    clock: Clock

    async def enter(self, rows: Sequence[TableRow], label: Label) -> list[Entered]:
        """Put all of them down, safe to repeat. Raises Unavailable: then the same request again does the rest."""
        free = asyncio.Semaphore(_AT_ONCE)
        seen: dict[str, int] = {}

        async def one(row: TableRow) -> Entered:
            try:
                wanted = rules.announced(row, label)
                if wanted.label not in self.profiles.by_label:
                    raise Malformed("there is no such label here")
                first = seen.setdefault(registration_key(wanted.device_id), row.number)
                if first != row.number:
                    raise Malformed(f"the device stands in row {first} already")
                async with free:
                    return Entered(row, await self._enter(wanted))
            except (Again, Misconfigured):
                raise
            except Refusal as refusal:
                return Entered(row, "refused", refusal.public)

        ended = await asyncio.gather(*(one(row) for row in rows), return_exceptions=True)
        for failure in ended:
            if isinstance(failure, BaseException):
                raise failure
        return [one for one in ended if isinstance(one, Entered)]

    async def _enter(self, wanted: Announced) -> Outcome:
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(wanted.device_id)
            device = rules.entered(known, wanted, self.clock())
            if device is None:
                return "already expected"
            try:
                await self.ledger.commit(known, Change(device))
            except StaleVersionError:
                continue
            return "expected"
        raise Unavailable("the device's record is changing too fast; try again", retry_after=5)
