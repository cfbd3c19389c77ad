"""The expiry scan: does it cost what is due, or what the fleet is? The same 10,000 due devices in fleets of two sizes.

Two ways, because a million rows take Azurite seven minutes: the real flow over an index in memory, with all million
devices in it; and the real flow, table adapter and SDK over Azurite, with as many devices as a bounded time allows.
What a scan finds goes to a queue that only counts: sending costs the same in every fleet, and would hide what does not.
One figure has it, so that nothing is left out.
"""

import asyncio
import secrets
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import batched
from statistics import median
from typing import Final

from benchmarks.ports import CountedWork, DaysInMemory
from benchmarks.storage import Storage, azurite_of_its_own
from shared.adapters.ledger_index import TableSchedule
from shared.adapters.tables import DUE as TABLE
from shared.flows.ports.index import Schedule
from shared.flows.ports.work import Work
from shared.flows.renew import WATERMARK
from tests.fakes.index import FakeWatermarks
from tests.fakes.world import Fakes

DUE: Final = 10_000
SMALL: Final = 20_000
IN_MEMORY: Final = 1_000_000
ON_AZURITE: Final = 100_000
FILL_SECONDS: Final = 45.0
ROUNDS: Final = 5
NOW: Final = datetime(2026, 3, 2, 9, 17, tzinfo=UTC)
LIFETIME_DAYS: Final = 90  # over which the rest of the fleet is due

NOTE: Final = (
    f"One hourly scan, median of {ROUNDS}; found certificates go to a queue that only counts, but in the last line. In "
    "memory: the real flow over an index that holds the whole fleet. Azurite: the real table adapter and SDK over as "
    f"many rows as it took in {FILL_SECONDS:.0f} s ({ON_AZURITE:,} at most; a million would take many minutes). The "
    "ratio is to the smaller fleet; the peak is what the scan itself allocates."
)

_TRANSACTION: Final = 100  # rows, the most that Table Storage takes
_AT_ONCE: Final = 8
_KB: Final = 1 << 10


@dataclass(frozen=True)
class Figure:
    """`ratio` is to the smaller fleet in the same index; `peak_kb` is what the scan itself allocates at most."""

    name: str
    fleet: int
    seconds: float
    ratio: float | None = None
    peak_kb: float | None = None


async def measure(say: Callable[[str], None]) -> list[Figure]:
    figures: list[Figure] = []

    def keep(figure: Figure) -> Figure:
        figures.append(figure)
        memory = "" if figure.peak_kb is None else f", peak {figure.peak_kb:.0f} KB"
        say(f"expiry scan, {figure.name}, fleet of {figure.fleet:,}: {figure.seconds:.3f} s{memory}")
        return figure

    small = keep(await _figure("index in memory", SMALL, DaysInMemory(_days(SMALL))))
    keep(await _figure("index in memory", IN_MEMORY, DaysInMemory(_days(IN_MEMORY)), small))
    async with azurite_of_its_own() as storage:
        schedule = TableSchedule(storage.tables)
        say(f"filling Azurite, for {FILL_SECONDS:.0f} s at most")
        began = time.perf_counter()
        await _fill(storage, _days(SMALL), began + 10 * FILL_SECONDS)
        small = keep(await _figure("Azurite", SMALL, schedule))
        more = await _fill(storage, _days(ON_AZURITE - SMALL, due=0), began + FILL_SECONDS)
        large = keep(await _figure("Azurite", SMALL + more, schedule, small))
        seconds = await _scanned(schedule, storage.queues)
        keep(Figure("Azurite, with the messages to its queue", large.fleet, seconds))
    return figures


def _days(fleet: int, due: int = DUE) -> dict[date, list[str]]:
    """Rows of the index by day: `due` devices today, the others over the days to come."""
    days: dict[date, list[str]] = {NOW.date(): [_row() for _ in range(due)]} if due else {}
    for number in range(fleet - due):
        day = NOW.date() + timedelta(days=1 + number % LIFETIME_DAYS)
        days.setdefault(day, []).append(_row())
    return days


def _row() -> str:
    return f"device-{secrets.token_hex(8)}~{secrets.token_hex(16)}"


async def _fill(storage: Storage, days: Mapping[date, Sequence[str]], end: float) -> int:
    """Writes the rows, a hundred of a day at a time, until the time is over; how many were written."""
    table = await storage.tables.table(TABLE)
    batches = [(day, rows) for day, every in days.items() for rows in batched(every, _TRANSACTION, strict=False)]

    async def work() -> int:
        written = 0
        while batches and time.perf_counter() < end:
            day, rows = batches.pop()
            await table.submit_transaction([("create", _entity(day, row)) for row in rows])
            written += len(rows)
        return written

    return sum(await asyncio.gather(*(work() for _ in range(_AT_ONCE))))


def _entity(day: date, row: str) -> dict[str, str]:
    """As `TableSchedule` writes it."""
    return {"PartitionKey": day.isoformat(), "RowKey": row, "DeviceId": row.partition("~")[0]}


async def _figure(name: str, fleet: int, schedule: Schedule, small: Figure | None = None) -> Figure:
    """The median of some scans, and the memory of one more: it is slower while its memory is counted."""
    seconds = median([await _scanned(schedule, CountedWork()) for _ in range(ROUNDS)])
    tracemalloc.start()
    try:
        await _scanned(schedule, CountedWork())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return Figure(name, fleet, seconds, seconds / small.seconds if small else None, peak / _KB)


async def _scanned(schedule: Schedule, work: Work) -> float:
    """Seconds for one of the hourly scans; the last one was yesterday."""
    yesterday = NOW.date() - timedelta(days=1)
    watermarks = FakeWatermarks(values={WATERMARK: yesterday.isoformat()})
    world = Fakes().application().renew
    renew = replace(world, schedule=schedule, watermarks=watermarks, work=work, clock=lambda: NOW)
    began = time.perf_counter()
    found = await renew.scan()
    seconds = time.perf_counter() - began
    if found.nudges != DUE:
        raise RuntimeError(f"the scan found {found.nudges} certificates and not {DUE}")
    return seconds
