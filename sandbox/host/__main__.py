"""`python -m sandbox.host --app DIR --port 7071`: standard input holds the keys and may move the clock.

In: first {"function_key": …, "master_key": …, "event_grid_key": …}, then {"offset_seconds": n} as often as wanted; end
of file ends the host, so that it never outlives whoever started it. Out: {"ready": true, "functions": […]}, once.
The app's settings are the environment. Everything that the app and the host log goes to standard error.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from sandbox import ports
from sandbox.host import host_json, index, keys, server
from sandbox.host.clock import Clock


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.host", description=__doc__)
    parser.add_argument("--app", type=Path, required=True, help="directory of function_app.py and host.json")
    parser.add_argument("--port", type=int, default=ports.FUNCTION_HOST, help="0 takes a free one")
    arguments = parser.parse_args()
    with protocol_output() as out:
        return host(arguments.app.resolve(), arguments.port, out)


def host(app: Path, port: int, out: TextIO) -> int:
    log_to_stderr()
    try:
        host_keys = keys.from_line(first_line())
        os.chdir(app)  # the worker's working directory is the app's
        return asyncio.run(serve(app, port, host_keys, out))
    except (ValueError, index.IndexingError, OSError) as error:
        traceback.print_exc()
        print(f"sandbox.host: {error}", file=sys.stderr)
        return 1
    except Exception:  # noqa: BLE001 - whatever the app raises while it is imported
        traceback.print_exc()
        print(f"sandbox.host: {app} cannot be indexed", file=sys.stderr)
        return 1


async def serve(app: Path, port: int, host_keys: keys.Keys, out: TextIO) -> int:
    options = host_json.load(app, os.environ)
    clock = Clock()
    # Inside the loop, as the worker indexes while its loop runs.
    built = server.build(index.load(app), options, host_keys, clock, os.environ)
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    try:
        taken = await built.start(port)
        ready = {"ready": True, "port": taken, "functions": [function.name for function in built.functions]}
        print(json.dumps(ready), file=out)
        out.close()
        commands = asyncio.create_task(obey(clock, done))
        await done.wait()
        if commands.done():
            commands.result()
        commands.cancel()
    finally:
        clock.stop()
        await built.stop()
    return 0


async def obey(clock: Clock, done: asyncio.Event) -> None:
    """Read commands until the end of standard input, then let the host end."""
    reader = asyncio.StreamReader()
    log = logging.getLogger("sandbox.host")
    try:
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            try:
                clock.move(timedelta(seconds=float(json.loads(line)["offset_seconds"])))
            except (ValueError, KeyError, TypeError, OverflowError):
                log.error('%r is no command: {"offset_seconds": n} is', line)  # noqa: TRY400 - the line says it all
            else:
                log.info("the app's clock is %s", clock.now().isoformat())
    finally:
        done.set()


def first_line() -> str:
    """Octet by octet: what a buffer reads ahead would be lost to the loop, which reads the pipe itself."""
    line = b""
    while (octet := os.read(0, 1)) not in {b"", b"\n"}:
        line += octet
    return line.decode(errors="replace")


def protocol_output() -> TextIO:
    """The real standard output, for the one line; whatever the app prints goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return out


def log_to_stderr() -> None:
    """As the worker does: one handler on the root at INFO, in place before the app is imported.

    The app may set its own formatter on that handler, and logging.basicConfig() finds the root configured already.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    log = logging.getLogger("sandbox.host")
    log.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("host: %(message)s"))
    log.addHandler(handler)


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    sys.stderr.flush()
    os._exit(status)  # sys.exit would wait for a function that hangs in a thread
