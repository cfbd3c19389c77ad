"""What all stand-ins share: one clock that tests may move, one journal that they read, one list of planned faults."""

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any


@dataclass
class Clock:
    """The sandbox's time: the machine's, moved by `offset`."""

    offset: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset


@dataclass
class Journal:
    """Every request that a stand-in saw and every fact worth telling, newest last; secrets never enter it."""

    clock: Clock
    entries: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=50_000))
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def write(self, service: str, event: str, **facts: object) -> None:
        entry = {"n": next(self._numbers), "time": self.clock.now().isoformat(), "service": service, "event": event}
        self.entries.append(entry | facts)

    def since(self, n: int) -> list[dict[str, Any]]:
        # A copy first, which no other thread interrupts: the stories read it while the stand-ins write.
        return [entry for entry in tuple(self.entries) if entry["n"] > n]


@dataclass
class Fault:
    """One planned misbehaviour. It hits requests to `service` whose method and path contain what it names.

    Kinds that every stand-in knows: `delay` (seconds, then the normal answer), `status` (status, headers, body),
    `drop` (close the connection, nothing done), `lose_answer` (do the work, then close the connection).
    Any other kind is handed to the stand-in, which plays it (for example `wrong_key` at DigiCert ONE).
    """

    service: str
    kind: str
    method: str = ""
    path: str = ""
    times: int = 1
    seconds: float = 0
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    def hits(self, service: str, method: str, path: str) -> bool:
        return self.service == service and self.method in ("", method) and self.path in path


@dataclass
class Faults:
    planned: list[Fault] = field(default_factory=list)

    def take(self, service: str, method: str, path: str) -> Fault | None:
        """The first planned fault that hits this request; it is used up after `times` hits."""
        for fault in self.planned:
            if fault.hits(service, method, path):
                fault.times -= 1
                if fault.times <= 0:
                    self.planned.remove(fault)
                return fault
        return None


@dataclass
class World:
    """`secrets` lists every credential value made here, so that a check can look for them where they must not be."""

    clock: Clock
    journal: Journal
    faults: Faults
    secrets: list[str]


def new_world() -> World:
    clock = Clock()
    return World(clock, Journal(clock), Faults(), [])
