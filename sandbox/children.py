"""The child processes of the sandbox: each writes one log, ends when its standard input does, and is named if it dies.

A closed standard input is the one signal that also reaches a child when the supervisor itself was killed.
"""

import asyncio
import os
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LAST_LINES = 20
PATIENCE = 5  # seconds for an orderly end


class SandboxError(Exception):
    """What stopped the sandbox, as text for a person."""


@dataclass
class Child:
    name: str
    process: Process
    log: Path
    stopping: bool = field(default=False)

    async def died(self) -> None:
        """Raises as soon as the process ends without having been asked to."""
        status = await self.process.wait()
        if not self.stopping:
            raise SandboxError(f"the {self.name} ended by itself ({ending(status)}).{last_lines(self.log)}")

    async def stop(self, patience: float = PATIENCE) -> None:
        self.stopping = True
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), patience)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


def ending(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"


def last_lines(log: Path) -> str:
    text = log.read_text(errors="replace").rstrip() if log.is_file() else ""
    if not text:
        return f" Its log {log} is empty."
    lines = "\n".join(f"  {line}" for line in text.splitlines()[-LAST_LINES:])
    return f" The end of its log {log}:\n{lines}"


async def start(
    name: str,
    command: Sequence[str],
    log: Path,
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> Child:
    """`environment` is all that the child gets, besides PATH and HOME: a user's own variables must not leak in.

    `stdin` is handed over first; what comes there never shows in the process list or on the disk. The child gets a
    session of its own, so that Ctrl-C reaches the supervisor alone, which then ends the children in order.
    """
    inherited = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=output,
            stderr=STDOUT,
            cwd=cwd,
            env=inherited | dict(environment or {}),
            start_new_session=True,
        )
    child = Child(name, process, log)
    if stdin and process.stdin is not None:
        process.stdin.write(stdin)
        try:
            await process.stdin.drain()
        except ConnectionError:
            await child.died()
    return child
