"""Starts the function host as the supervisor does and talks to it as the edge does."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

APP = Path(__file__).parent
REPOSITORY = APP.parents[2]
KEYS = {"function_key": "function-key", "master_key": "master-key", "event_grid_key": "event-grid-key"}
SETTINGS = {
    "QUEUE_NAME": "work",
    "SCHEDULE": "0 0 3 1 1 *",
    "LOGS_NAME": "dps-logs",
    "STORAGE__queueServiceUri": "https://127.0.0.1:9/devstoreaccount1",  # nobody listens there: no queues in this test
    "IDENTITY_ENDPOINT": "http://127.0.0.1:9/msi/token",
    "IDENTITY_HEADER": "header",
}


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)


@dataclass
class HostProcess:
    process: subprocess.Popen[str]
    stderr: Path
    port: int = 0
    functions: tuple[str, ...] = ()

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log()
        ready = json.loads(line)
        assert ready["ready"] is True
        self.port, self.functions = ready["port"], tuple(ready["functions"])

    def tell(self, **command: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def log(self) -> str:
        return self.stderr.read_text()

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """One request, byte for byte as it is given; `_` in a header's name stands for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            if body is not None and "Transfer_Encoding" not in headers:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            if body is not None:
                connection.send(body)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def seen(self) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = self.ask("/seen").json()
        return told


def until[T](reading: Callable[[], T], wanted: Callable[[T], bool], seconds: float = 20) -> T:
    """Read again and again until it is as wanted; the last reading tells why it never was."""
    deadline = time.monotonic() + seconds
    while not wanted(value := reading()):
        assert time.monotonic() < deadline, value
        time.sleep(0.05)
    return value


@contextmanager
def started(folder: Path, app: Path = APP, **settings: str) -> Iterator[HostProcess]:
    """A host that may or may not get ready; it ends with the block."""
    stderr = folder / "host.log"
    environment = {"PATH": os.environ["PATH"]} | SETTINGS | settings
    with (
        stderr.open("w") as log,
        subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "sandbox.host", "--app", str(app), "--port", "0"],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        host = HostProcess(process, stderr)
        try:
            host.tell(**KEYS)
            yield host
        finally:
            if process.stdin is not None and not process.stdin.closed:
                process.stdin.close()
            try:
                process.wait(10)
            finally:
                process.kill()


@contextmanager
def running(folder: Path, app: Path = APP, **settings: str) -> Iterator[HostProcess]:
    with started(folder, app, **settings) as host:
        host.wait_until_ready()
        yield host
