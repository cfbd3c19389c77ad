"""`python -m benchmarks [PART …]`: measure, print a table, keep it in `.bench/results.json`.

Without arguments everything is measured, in about ten minutes. Nothing here passes or fails.
"""

import argparse
import asyncio
import sys
import time
from functools import partial

from benchmarks import births, cpu, crl, imports, load, report, revocation, scan
from benchmarks.world import NotStartedError

PARTS = ("cpu", "imports", "load", "revocation", "scan", "crl", "births")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one or more of {', '.join(PARTS)}; all without it")
    parts = parser.parse_args(arguments).parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    say = partial(_progress, time.monotonic())
    try:
        results = report.Results(
            cpu=cpu.measure(say) if "cpu" in parts else [],
            imports=imports.measure(say) if "imports" in parts else [],
            load=asyncio.run(load.measure(say)) if "load" in parts else [],
            revocation=asyncio.run(revocation.measure(say)) if "revocation" in parts else [],
            scan=asyncio.run(scan.measure(say)) if "scan" in parts else [],
            crl=crl.measure(say) if "crl" in parts else [],
            births=births.measure(say) if "births" in parts else [],
        )
    except NotStartedError as error:
        print(f"the sandbox did not start: {error}", file=sys.stderr)
        return 1
    print(f"\n{report.table(results)}\nwritten to {report.write(results)}")
    for line in report.above_aim(results):
        print(f"above the aim: {line}")
    return 0


def _progress(began: float, line: str) -> None:
    print(f"[{time.monotonic() - began:4.0f} s] {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
