"""Other births in large numbers, with every port in memory: a batch of signing requests, and an import of certificates.

Each runs in a process of its own, so that its peak is its own. Time in it passes only while nobody has work to do: the
share of the rate tells what pacing leaves unused, the rows a second what this machine can do.
"""

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core import batch as rules
from shared.core import births
from shared.core.batch import Batch
from shared.flows.batch_run import BatchRun
from shared.flows.turns import Turns
from tests.fakes.clock import IdleLoop
from tests.fakes.devices import Device
from tests.fakes.world import PROFILE, Fakes, at_once

ROWS: Final = 100_000
PER_MINUTE: Final = 6_000
NOTE: Final = (
    f"{ROWS:,} rows each, P-256, every port in memory and a CA that really signs: rows/s is the CPU of one core. The "
    f"share is of the configured {PER_MINUTE:,} rows a minute, over the app's own time. The peak holds the ledger of "
    f"all {ROWS:,} devices, which in Azure is no memory of the app."
)
_CHUNK: Final = 200
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
    for name in WORK:
        say(f"{name}, {ROWS:,} rows: takes minutes")
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.births", name], stdout=subprocess.PIPE, text=True, check=True
        )
        figures.append(Figure(**json.loads(done.stdout)))
        say(f"{name}: {figures[-1].per_second:.0f} rows/s")
    return figures


async def _batch(rows: int) -> tuple[float, float | None]:
    world = Fakes()
    key = ec.generate_private_key(ec.SECP256R1())
    content = b"".join(_line(Device(f"device-{number:06d}", key)) for number in range(rows))
    world.pace.per_minute = PER_MINUTE
    batching = replace(world.batching, most_bytes=_LARGE, most_at_once=_LARGE, chunk_rows=_CHUNK)
    turns = Turns(world.pace, PER_MINUTE, world.clock, asyncio.sleep)
    chunk = replace(world.batch_run.chunk, turns=turns)
    run = BatchRun(world.batches, world.files, chunk, world.work, world.clock, at_once, most_bytes=_LARGE)
    wanted = Batch(rules.batch_id("bench"), PROFILE.label, "jsonl", "uploading", "bench", "", created=world.clock())
    began, clock = time.perf_counter(), world.clock()
    batch = await batching.create(wanted, content)
    while batch.state == "running":
        batch = await run.go_on(batch.id) or batch
        world.calls.made.clear()
    if len(world.ca.issued) != rows:
        raise RuntimeError(f"{len(world.ca.issued)} certificates for {rows} rows: {batch}")
    minutes = (world.clock() - clock).total_seconds() / 60
    return rows / (time.perf_counter() - began), rows / minutes / PER_MINUTE


async def _import(rows: int) -> tuple[float, float | None]:
    world = Fakes()
    key = ec.generate_private_key(ec.SECP256R1())
    parts = list(_bundles(world, key, rows))
    began = time.perf_counter()
    for part in parts:
        await world.adopt.take_all(world.profile, births.imported(part, is_pem=True))
        world.calls.made.clear()
    seconds = time.perf_counter() - began
    if len(world.ledger.serials) != rows:
        raise RuntimeError(f"{len(world.ledger.serials)} certificates taken in of {rows}")
    return rows / seconds, None


def _bundles(world: Fakes, key: ec.EllipticCurvePrivateKey, rows: int) -> Iterator[bytes]:
    for start in range(0, rows, _IMPORT):
        requests = (Device(f"device-{number:06d}", key).request() for number in range(start, start + _IMPORT))
        yield b"".join(world.ca.issue(request).public_bytes(Encoding.PEM) for request in requests)


def _line(device: Device) -> bytes:
    return json.dumps({"device_id": device.name, "csr": base64.b64encode(device.der()).decode()}).encode() + b"\n"


WORK: Final = {"batch": _batch, "import": _import}


def _peak() -> float | None:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    found = next((line for line in lines if line.startswith("VmHWM:")), "")
    return int(found.split()[1]) / 1024 if found else None


def main(name: str, rows: int = ROWS) -> None:
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        per_second, share = runner.run(WORK[name](rows))
    print(json.dumps(asdict(Figure(name, rows, per_second, share, _peak()))))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
