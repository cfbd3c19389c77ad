"""npm packages that tests need: installed once, into the virtual environment, from a lockfile that lies beside them.

`python -m tests.pinned` installs them all: `make` does that before the tests, so that no test waits for the network, or
fails for want of it.
"""

import fcntl
import shutil
import sys
from pathlib import Path

from sandbox.azurite import InstallError, npm_ci


def installed(pinned: Path) -> Path:
    """The folder with the packages of `pinned`, as Azurite has one; `.complete` is written last."""
    lock = (pinned / "package-lock.json").read_text()
    target = Path(sys.prefix) / pinned.name
    complete = target / ".complete"
    with target.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (complete.is_file() and complete.read_text() == lock):
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(pinned / name, target)
            npm_ci(target)
            complete.write_text(lock)
    return target


if __name__ == "__main__":
    try:
        for lockfile in sorted(Path(__file__).parent.glob("*/*/package-lock.json")):
            installed(lockfile.parent)
    except InstallError as error:
        sys.exit(str(error))
