"""Tells a story: everything is started, the story told in a thread, and everything ended. The exit status says how."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sandbox import supervisor
from sandbox.children import SandboxError
from sandbox.device import DeviceError
from sandbox.stage import Stage
from sandbox.timeline import Timeline

CAST = """\
Birthcert is the function app; the edge is the TLS front that App Service puts before it. Everybody else is a
stand-in on this machine: DigiCert ONE, DPS, two IoT hubs, Key Vault, Event Grid. Times are local."""

# Says at the end what has happened; raises DeviceError where it could not go on.
type Tell = Callable[[Stage], str]


async def run(app: Path, timeline: Timeline, tell: Tell) -> int:
    """The exit status: 0 when the story came to its end."""
    begin = time.monotonic()
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, lambda: task.cancel() if task is not None else None)
    async with supervisor.running(app, say=timeline.say) as sandbox:
        timeline.say(f"The sandbox is up after {time.monotonic() - begin:.1f} s.\n{CAST}")
        stage = Stage(sandbox, timeline, seen=len(sandbox.world.journal.entries))
        try:
            done = await sandbox.unless_broken(asyncio.to_thread(tell, stage))
        except asyncio.CancelledError:
            stage.given_up = True  # the thread that tells it cannot be cancelled
            raise
        except DeviceError as error:
            stage.meanwhile()
            timeline.failure(f"FAILED in step {stage.step}: {error}")
            timeline.say(f"The logs are in {sandbox.directory / 'logs'}.")
            return 1
    timeline.say(f"\nDone in {time.monotonic() - begin:.1f} s: {done}")
    return 0


def main(app: Path, tell: Tell) -> int:
    timeline = Timeline()
    try:
        return asyncio.run(run(app, timeline, tell))
    except SandboxError as error:
        print(f"FAILED in step start: {error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 130
