"""Processes and ports as the tests of the supervisor look at them."""

import contextlib
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def stranger(port: int = 0) -> Iterator[int]:
    """Somebody else listens on `port` (0: on some port)."""
    with socket.create_server(("127.0.0.1", port)) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    with stranger() as port:
        return port


def alive(process_id: int) -> bool:
    """A zombie that nobody has asked for yet is not alive."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def until(condition: Callable[[], bool], within: float = 10) -> bool:
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]
