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
DEPLOYMENT: Final = ("docs", "monitor", "setup", "smoke")


def main() -> int:
    folders = sorted(one.name for one in HERE.iterdir() if one.is_dir() and any(one.glob("test_*.py")))
    folders = [one for one in folders if one not in DEPLOYMENT]
    sys.stdout.write("What needs no sandbox is tested in a process beside this one, and shown at its end.\n")
    sys.stdout.flush()
    with tempfile.TemporaryFile() as quiet:
        beside = _start("beside", folders, stdout=quiet)
        sandbox = _start("sandbox", folders)
        try:
            failed = [process.wait() for process in (sandbox, beside)]
        finally:
            for process in (sandbox, beside):
                process.terminate()
        quiet.seek(0)
        sys.stdout.write(quiet.read().decode(errors="replace"))
    return max(failed)


def _start(half: str, folders: list[str], stdout: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
    paths = [f"--half={half}", *(str(HERE / one) for one in folders)]
    command = [sys.executable, "-m", "coverage", "run", "--parallel-mode", "-m", "pytest", *sys.argv[1:], *paths]
    return subprocess.Popen(command, stdout=stdout)


if __name__ == "__main__":
    sys.exit(main())
