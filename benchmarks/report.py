"""The figures as a table for people and as JSON for comparing one run with another."""

import importlib.metadata
import json
import os
import platform
import sysconfig
import textwrap
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks import births, cpu, crl, imports, load, revocation, scan

PLACE: Final = Path(".bench") / "results.json"
RATIO_AIM: Final = 2.0
PACKAGES: Final = ("azure-functions", "azure-data-tables", "cryptography", "httpx")


@dataclass(frozen=True)
class Results:
    cpu: list[cpu.Figure]
    imports: list[imports.Figure]
    load: list[load.Figure]
    revocation: list[revocation.Figure]
    scan: list[scan.Figure]
    crl: list[crl.Figure]
    births: list[births.Figure]


def above_aim(results: Results) -> list[str]:
    """The figures above their aim. Only ratios have one: times are those of a machine and its day."""
    return [f"{one.name}: {one.ratio:.2f} > {RATIO_AIM}" for one in results.cpu if one.ratio > RATIO_AIM]


def table(results: Results) -> str:
    blocks = [f"Python {platform.python_version()} ({build()} build), {os.cpu_count()} cores, {platform.platform()}"]
    if results.cpu:
        rows = [(one.name, f"{one.product_us:.0f}", f"{one.bare_us:.0f}", f"{one.ratio:.2f}") for one in results.cpu]
        title = "CPU per enrollment, ports in memory, µs"
        blocks.append(_block((title, "product", "bare cryptography", f"ratio (aim {RATIO_AIM})"), rows))
    if results.imports:
        rows_ms = [(one.name, f"{one.cpu_ms:.0f}") for one in results.imports]
        blocks.append(_block(("Imports in a fresh interpreter, ms of CPU", "median"), rows_ms))
    if results.load:
        head = (
            "Enrollments through the sandbox",
            "at once",
            "requests",
            "per s",
            "p50 ms",
            "p95",
            "p99",
            "host CPU ms",
        )
        blocks.append(_block(head, map(_load_row, results.load)))
    blocks += _lifecycle(results)
    return "\n\n".join(blocks) + "\n"


def _lifecycle(results: Results) -> list[str]:
    blocks: list[str] = []
    if results.revocation:
        asked = ("Revocation, ms since it was asked for over the operators' API", "devices", "p50", "p95")
        blocks.append(_block(asked, map(_revocation_row, results.revocation), revocation.NOTE))
    if results.scan:
        due = (f"Expiry scan, {scan.DUE:,} certificates due", "fleet", "s", "ratio", "peak KB")
        blocks.append(_block(due, map(_scan_row, results.scan), scan.NOTE))
    if results.crl:
        reading = ("Reading of a CRL", "entries", "CPU s", "ratio", "peak MB of the process")
        blocks.append(_block(reading, map(_crl_row, results.crl), crl.NOTE))
    if results.births:
        born = ("Other births, ports in memory", "rows", "rows/s", "share of the rate", "peak MB of the process")
        blocks.append(_block(born, map(_birth_row, results.births), births.NOTE))
    return blocks


def _birth_row(one: births.Figure) -> tuple[str, ...]:
    return (one.name, f"{one.rows:,}", f"{one.per_second:.0f}", _number(one.share, 2), _number(one.peak_mb, 0))


def _revocation_row(one: revocation.Figure) -> tuple[str, ...]:
    return (one.name, str(one.devices), f"{one.p50_ms:.0f}", f"{one.p95_ms:.0f}")


def _scan_row(one: scan.Figure) -> tuple[str, ...]:
    return (one.name, f"{one.fleet:,}", f"{one.seconds:.3f}", _number(one.ratio, 2), _number(one.peak_kb, 0))


def _crl_row(one: crl.Figure) -> tuple[str, ...]:
    return (one.name, f"{one.entries:,}", f"{one.cpu_s:.2f}", f"{one.ratio:.2f}", _number(one.peak_mb, 0))


def _number(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"


def _load_row(one: load.Figure) -> tuple[str, ...]:
    times = (f"{value:.1f}" for value in (one.p50_ms, one.p95_ms, one.p99_ms))
    cpu_ms = "" if one.host_cpu_ms is None else f"{one.host_cpu_ms:.1f}"
    return (one.name, str(one.concurrency), str(one.requests), f"{one.per_second:.0f}", *times, cpu_ms)


def _block(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], note: str = "") -> str:
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = (
        [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        for line in lines
    )
    shown = ["  ".join(line).rstrip() for line in aligned]
    return "\n".join([shown[0], "-" * max(map(len, shown)), *shown[1:], *textwrap.wrap(note, 100)])


def build() -> str:
    """Without profile-guided optimization Python code is slower, and the ratios are higher."""
    optimized = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return "optimized" if optimized else "not optimized"


def write(results: Results) -> Path:
    content = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "python_build": build(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "cpu": [{**asdict(one), "ratio": one.ratio} for one in results.cpu],
        "imports": [asdict(one) for one in results.imports],
        "load": [asdict(one) for one in results.load],
        "revocation": [asdict(one) for one in results.revocation],
        "scan": [asdict(one) for one in results.scan],
        "crl": [asdict(one) for one in results.crl],
        "births": [asdict(one) for one in results.births],
    }
    PLACE.parent.mkdir(exist_ok=True)
    PLACE.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return PLACE
