"""Other births in large numbers, over ports that cost next to nothing: batches of signing requests, and an import.

Each runs in a process of its own, so that its peak is its own: `python -m benchmarks.births WHAT [ROWS]` is such a
process, and prints its figures as JSON.
"""

import asyncio
import base64
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from benchmarks.minting import Mint, device_name, mint
from benchmarks.ports import CountedWork, FixedChain, ForgetfulLedger, MintingUpstream
from shared import wiring
from shared.core import batch as rules
from shared.core import births
from shared.core.batch import Batch
from shared.flows.batch_run import BatchRun
from shared.flows.issue import Issue
from shared.flows.issuers import Issuers
from shared.flows.once import Once
from shared.flows.trust import Chains
from shared.flows.turns import Turns
from shared.wiring.batches import chunk_rows, rows_at_once
from tests.fakes.batches import FakeFiles, FakePace
from tests.fakes.world import PROFILE, Fakes, at_once

REPOSITORY = Path(__file__).parents[1]
ROWS: Final = 100_000
PER_MINUTE: Final = 3_000
PACED_ROWS: Final = 1_500
CA_SECONDS: Final = 0.7

NOTE: Final = (
    "Requests of P-256; the CA signs within the process, which costs a row some 60 µs. The files are on disk and the "
    "ledger keeps nothing, so the peak is the app's own. The paced batch runs in real time at a configured rate of "
    f"{PER_MINUTE:,} rows a minute, with a CA that takes {CA_SECONDS} s for each. It is smaller because "
    f"{ROWS:,} rows would take {ROWS / PER_MINUTE:.0f} minutes at that rate."
)

# 10,000 turns a second, more than a machine works off, so that nobody waits for one. They are taken a second's worth at
# a time: at a much higher rate the list of them would be what is measured.
_UNPACED: Final = 600_000
_IMPORT: Final = 5_000  # rows of one request
_LARGE: Final = 1 << 40


@dataclass(frozen=True)
class Figure:
    """`share` is of the configured rate, `peak_mb` of the whole process; None where it is not known."""

    name: str
    rows: int
    per_second: float
    share: float | None
    peak_mb: float | None


def measure(say: Callable[[str], None]) -> list[Figure]:
    figures = []
    for what, (name, rows, _) in CASES.items():
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.births", what, str(rows)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        figures.append(Figure(name, rows, **json.loads(done.stdout)))
        say(f"{name}, {rows:,} rows: {figures[-1].per_second:.0f} rows/s")
    return figures


@dataclass
class Disk(FakeFiles):
    """The files of batches where they take no memory."""

    folder: Path = field(kw_only=True)

    async def write(self, name: str, content: bytes) -> None:
        (self.folder / name.replace("/", "-")).write_bytes(content)

    async def read(self, name: str, offset: int, length: int) -> bytes:
        with (self.folder / name.replace("/", "-")).open("rb") as file:
            file.seek(offset)
            return file.read(length)


async def _fast(rows: int) -> tuple[float, float | None]:
    return await _batch(rows, _UNPACED, 0.0)


async def _paced(rows: int) -> tuple[float, float | None]:
    per_second, _ = await _batch(rows, PER_MINUTE, CA_SECONDS)
    return per_second, per_second * 60 / PER_MINUTE


async def _batch(rows: int, per_minute: int, ca_seconds: float) -> tuple[float, float | None]:
    made = mint()
    with tempfile.TemporaryDirectory() as folder:
        run, files = _run(made, per_minute, ca_seconds, Path(folder))
        kept = await run.batches.create(await _sent(files, made, rows, chunk_rows(per_minute)))
        batch: Batch | None = kept.batch
        began = time.perf_counter()
        while batch is not None and batch.state == "running":
            batch = await run.go_on(kept.batch.id)
        seconds = time.perf_counter() - began
    if batch is None or batch.counts.get("issued") != rows:
        raise RuntimeError(f"not {rows} rows were issued: {batch}")
    return rows / seconds, None


async def _sent(files: Disk, made: Mint, rows: int, at_a_time: int) -> Batch:
    """A batch whose file has come."""
    now = wiring.now()
    new = Batch(rules.batch_id("bench"), PROFILE.label, "jsonl", "uploading", "bench", "", now, chunk_rows=at_a_time)
    with (files.folder / new.input.replace("/", "-")).open("wb") as file:
        for name in map(device_name, range(rows)):
            csr = base64.b64encode(made.csr(name)).decode()
            file.write(json.dumps({"device_id": name, "csr": csr}).encode() + b"\n")
        size = file.tell()
    return rules.after(rules.with_file(new, size, (), 0), "start", now)


def _run(made: Mint, per_minute: int, ca_seconds: float, folder: Path) -> tuple[BatchRun, Disk]:
    """The real flows, with the numbers that wiring gives to a rate."""
    world, files = Fakes(), Disk(folder=folder)
    pace = FakePace(wiring.now, per_minute=per_minute)
    turns = Turns(pace, per_minute, wiring.now, asyncio.sleep)
    issue = Issue(
        {PROFILE.label: MintingUpstream(made, ca_seconds)},
        Once(ForgetfulLedger({}), _chains(made), Issuers(world.watermarks, wiring.now), wiring.now, asyncio.sleep),
        world.rotate,
        world.adopt,
    )
    chunk = replace(world.batch_run.chunk, issue=issue, turns=turns, at_once=rows_at_once(per_minute))
    return BatchRun(world.batches, files, chunk, CountedWork(), wiring.now, at_once, most_bytes=_LARGE), files


def _chains(made: Mint) -> Chains:
    return Chains({PROFILE.label: FixedChain(made.chain)}, wiring.now)


async def _import(rows: int) -> tuple[float, float | None]:
    made, world = mint(), Fakes()
    adopt = replace(
        world.adopt,
        chains=_chains(made),
        issuers=Issuers(world.watermarks, wiring.now),
        inventories={},
        ledger=ForgetfulLedger({}),
        work=CountedWork(),
        clock=wiring.now,
    )
    taken, seconds = 0, 0.0
    for part in _bundles(made, rows):
        began = time.perf_counter()
        found = await adopt.take_all(PROFILE, births.imported(part, is_pem=True))
        seconds += time.perf_counter() - began
        taken += sum(one.outcome == "adopted" for one in found)
    if taken != rows:
        raise RuntimeError(f"{taken} certificates taken in of {rows}")
    return rows / seconds, None


def _bundles(made: Mint, rows: int) -> Iterator[bytes]:
    """As requests of the import: PEM, 5,000 at a time."""
    for start in range(0, rows, _IMPORT):
        ders = (made.certificate(device_name(number)) for number in range(start, min(rows, start + _IMPORT)))
        yield b"".join(
            b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n" for der in ders
        )


CASES: Final = {
    "batch": ("a batch, as fast as it goes", ROWS, _fast),
    "paced": ("a batch, at its rate", PACED_ROWS, _paced),
    "import": ("an import, 5,000 certificates at a time", ROWS, _import),
}


def _peak() -> float | None:
    """`ru_maxrss` would begin with what the parent had when it started us; VmHWM is of this program alone."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    found = next((line for line in lines if line.startswith("VmHWM:")), "")
    return int(found.split()[1]) / 1024 if found else None


def main(what: str, rows: str = "") -> None:
    _, usual, work = CASES[what]
    per_second, share = asyncio.run(work(int(rows or usual)))
    print(json.dumps({"per_second": per_second, "share": share, "peak_mb": _peak()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
