"""What operators see: a device, lists of certificates, sagas that do not end."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from shared.core.errors import NotFound
from shared.core.fleet import Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.core.revocation import Saga
from shared.core.searching import Search
from shared.flows.ports.clock import Clock
from shared.flows.ports.index import Due, Fleet, Hints, Listed
from shared.flows.ports.ledger import Ledger

# A saga ends within seconds; one that is older, or has failed, is stuck.
STUCK_AFTER: Final = timedelta(minutes=10)
MOST_SAGAS: Final = 200
_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of certificates. `source` says what was read: the index holds only what is still to be renewed."""

    certificates: tuple[Listed, ...]
    mark: str
    source: Literal["due index", "whole ledger"]


@dataclass(frozen=True, slots=True)
class Sagas:
    """`complete` is false when more devices have unfinished sagas than are looked at in one go."""

    found: tuple[tuple[DeviceId, Saga], ...]
    complete: bool


@dataclass(frozen=True)
class Survey:
    """Reads, and changes nothing."""

    ledger: Ledger
    fleet: Fleet
    hints: Hints
    clock: Clock

    async def device(self, name: DeviceId) -> tuple[Snapshot, Device]:
        """What the ledger knows of a device. Raises NotFound, Unavailable."""
        return await find(self.ledger, name)

    async def certificates(self, search: Search) -> Listing:
        """One page: what is to be renewed before a day comes from the index, all else from the whole ledger."""
        if search.expires_before is not None and search.status is None:
            return await self._expiring(search, search.expires_before)
        page = await self.fleet.certificates(search)
        return Listing(page.certificates, page.mark, "whole ledger")

    async def _expiring(self, search: Search, before: datetime) -> Listing:
        """A certificate is due before it expires, or on the next day while its device is being asked: no later day of
        the index has to be read. Rows are hints: each is checked against its device.
        """
        page = await self.fleet.due(before.date() + timedelta(days=1), search.limit, search.mark)
        hints = dict.fromkeys(page.due)
        known = await self._load([one.device_id for one in hints])
        found = (_listed(known[one.device_id], one) for one in hints)
        fitting = (one for one in found if one is not None and _fits(one.certificate, search.label, before))
        return Listing(tuple(fitting), page.mark, "due index")

    async def sagas(self, *, stuck: bool) -> Sagas:
        """The unfinished sagas, the oldest first; with `stuck` those alone that have failed or take too long."""
        names: list[DeviceId] = []
        complete = True
        async for name in self.hints.unfinished("saga"):
            if len(names) == MOST_SAGAS:
                complete = False
                break
            names.append(name)
        late = self.clock() - STUCK_AFTER
        found = [
            (known.device.device_id, known.saga)
            for known in (await self._load(names)).values()
            if known.device is not None and known.saga is not None and known.saga.next is not None
        ]
        shown = [one for one in found if not stuck or _is_stuck(one[1], late)]
        return Sagas(tuple(sorted(shown, key=lambda one: (one[1].begun, one[0]))), complete)

    async def _load(self, names: Sequence[DeviceId]) -> dict[DeviceId, Snapshot]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def load(name: DeviceId) -> Snapshot:
            async with gate:
                return await self.ledger.load(name)

        each = list(dict.fromkeys(names))
        return dict(zip(each, await asyncio.gather(*map(load, each)), strict=True))


async def find(ledger: Ledger, name: DeviceId) -> tuple[Snapshot, Device]:
    """The device of that name, compared without case as the ledger's partitions are. Raises NotFound, Unavailable."""
    known = await ledger.load(name)
    if known.device is None:
        raise NotFound("there is no such device")
    return known, known.device


def _listed(known: Snapshot, hint: Due) -> Listed | None:
    kept = known.certificate(hint.serial)
    return Listed(known.device.device_id, kept) if known.device is not None and kept is not None else None


def _fits(kept: LedgerCertificate, label: str, before: datetime) -> bool:
    return kept.status == "issued" and kept.certificate.not_after < before and label in ("", kept.label)


def _is_stuck(saga: Saga, late: datetime) -> bool:
    return saga.begun < late or any(step.failures and step.done_at is None for step in saga.steps)
