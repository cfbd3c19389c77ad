"""What a story of the running sandbox is told with: the timeline, the journal, and the hands of an operator."""

import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection

from sandbox import device, ports, standins
from sandbox.device import Answer, DeviceError
from sandbox.supervisor import Sandbox
from sandbox.timeline import Entry, Timeline

PATIENCE = 30.0  # for what Birthcert does after it has answered


@dataclass
class Stage:
    """`step` is the chapter that is being told. A connected device tells from a thread of its own.

    `follows` says which entries of the journal are told. Of hundreds of devices at once nobody would read them all.
    """

    sandbox: Sandbox
    timeline: Timeline
    seen: int = 0
    follows: Callable[[Entry], bool] = lambda _: True
    step: str = "start"
    given_up: bool = False
    turn: threading.RLock = field(default_factory=threading.RLock)

    def chapter(self, number: int, title: str, text: str) -> None:
        self.meanwhile()
        self.step = f"{number} {title}"
        self.timeline.chapter(number, title, text)

    def line(self, who: str, what: str) -> None:
        with self.turn:
            self.meanwhile()
            self.timeline.line(who, what, self.sandbox.world.clock.now())

    def meanwhile(self) -> None:
        """What the journal of the stand-ins holds since it was last told."""
        with self.turn:
            entries = self.sandbox.world.journal.since(self.seen)
            if entries:
                self.seen = entries[-1]["n"]
            self.timeline.journal([entry for entry in entries if self.follows(entry)])

    def require(self, condition: bool, text: str) -> None:
        if not condition:
            raise DeviceError(text)

    def eventually(self, condition: Callable[[], object], text: str) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            if self.given_up or time.monotonic() > end:
                self.meanwhile()
                raise DeviceError(f"{text} within {PATIENCE:.0f} s")
            time.sleep(0.1)
            self.meanwhile()

    def control(self, method: str, path: str, body: object) -> None:
        """What a person would do with curl at the sandbox's control."""
        self.plain(ports.CONTROL, method, path, {}, body)

    def run_timer(self, name: str) -> None:
        """As the button Test/Run of the portal does, which has the master key."""
        headers = {"x-functions-key": self.sandbox.stand_ins.master_key}
        self.plain(ports.FUNCTION_HOST, "POST", f"/admin/functions/{name}", headers, {})

    def plain(self, port: int, method: str, path: str, headers: dict[str, str], body: object) -> None:
        connection = HTTPConnection(ports.LOOPBACK, port, timeout=device.TIMEOUT)
        try:
            connection.request(method, path, json.dumps(body), headers | {"Content-Type": "application/json"})
            answer = connection.getresponse()
            self.require(answer.status < 300, f"{method} {path}: {answer.status} {answer.read().decode()}")
        finally:
            connection.close()

    def operator(self, path: str, body: object) -> Answer:
        """A write of the operators' API, through the edge."""
        self.line("operator → Birthcert", f"POST {path} {json.dumps(body)}")
        answer = self.api("POST", path, json.dumps(body).encode())
        self.line("Birthcert → operator", f"{answer.status}")
        self.require(answer.status in {200, 201, 202}, f"{path}: {answer.status} {answer.line()}")
        return answer

    def api(self, method: str, path: str, body: bytes = b"", media: str = "application/json") -> Answer:
        """One request to the operators' API, through the edge."""
        headers = {
            "x-functions-key": self.sandbox.credentials.function_key,
            "content-type": media,
            "idempotency-key": secrets.token_hex(8),
            "x-caller": "the story",
        }
        context = device.tls_context(self.sandbox.tls_root, None)
        return device.call(context, method, f"{standins.APP_URL}{path}", headers=headers, body=body)
