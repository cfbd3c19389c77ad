"""`python -m tests.halves`: all tests in two processes at once, one of which owns the sandbox and its fixed ports.

What needs no sandbox runs beside it, and is shown when it has ended. Both measure coverage; `make test` joins it. The
tests of a deployment and of its documents take minutes of their own: `make test-deployment`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Final

HERE: Final = Path(__file__).parent
# Folders whose tests take no port: all others stand in the sandbox's half, so that no new folder is forgotten.
WITHOUT_SANDBOX: Final = ("adapters", "configuration", "core", "flows", "functions", "infra")
DEPLOYMENT: Final = ("docs", "monitor", "setup", "smoke")


def main() -> int:
    folders = sorted(one.name for one in HERE.iterdir() if one.is_dir() and any(one.glob("test_*.py")))
    folders = [one for one in folders if one not in DEPLOYMENT]
    sys.stdout.write(f"{', '.join(WITHOUT_SANDBOX)}: in a process beside this one, shown at its end\n")
    sys.stdout.flush()
    with tempfile.TemporaryFile() as quiet:
        beside = _start([one for one in folders if one in WITHOUT_SANDBOX], stdout=quiet)
        sandbox = _start([one for one in folders if one not in WITHOUT_SANDBOX])
        try:
            failed = [process.wait() for process in (sandbox, beside)]
        finally:
            for process in (sandbox, beside):
                process.terminate()
        quiet.seek(0)
        sys.stdout.write(quiet.read().decode(errors="replace"))
    return max(failed)


def _start(folders: list[str], stdout: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
    paths = [str(HERE / one) for one in folders]
    command = [sys.executable, "-m", "coverage", "run", "--parallel-mode", "-m", "pytest", *sys.argv[1:], *paths]
    return subprocess.Popen(command, stdout=stdout)


if __name__ == "__main__":
    sys.exit(main())
