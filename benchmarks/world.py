"""A sandbox of the benchmark's own, as a user starts it, and the CPU time that its processes have used."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
STATE = REPOSITORY / ".sandbox"
CONTROL = "http://127.0.0.1:9440"
READY_WITHIN = 180.0


class NotStartedError(Exception):
    """The sandbox did not start; its own words say why."""


@dataclass(frozen=True)
class Running:
    pid: int

    def secret(self, beginning: str) -> str:
        """A credential of the sandbox, whose values begin with what they are for."""
        with urllib.request.urlopen(f"{CONTROL}/secrets", timeout=10) as response:  # noqa: S310 - the address is fixed
            secrets: list[str] = json.load(response)
        return next(one for one in secrets if one.startswith(beginning))

    def host_cpu(self) -> float | None:
        """Seconds of CPU that the function host has used so far; None where /proc does not tell."""
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
                if "sandbox.host" in Path(f"/proc/{child}/cmdline").read_text():
                    # After the name in parentheses: field 14 is user time, 15 is system time, in clock ticks.
                    fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return None


@contextlib.asynccontextmanager
async def sandbox() -> AsyncIterator[Running]:
    """Started, ready, and ended again. Raises NotStartedError."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox", "up"),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    if process.stdout is None:
        raise NotStartedError("its output cannot be read")
    try:
        await _ready(process.stdout)
        rest = asyncio.create_task(process.stdout.read())
        yield Running(process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        await process.wait()
    await rest


async def _ready(output: asyncio.StreamReader) -> None:
    lines: list[str] = []
    try:
        async with asyncio.timeout(READY_WITHIN):
            async for line in output:
                lines.append(line.decode())
                if lines[-1].startswith("READY"):
                    return
    except TimeoutError as error:
        raise NotStartedError(f"not ready within {READY_WITHIN:.0f} s: {''.join(lines)}") from error
    raise NotStartedError("".join(lines).strip())
