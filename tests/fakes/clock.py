"""Time as tests want it: a clock that is set, and an event loop whose time passes only while nobody has work to do."""

import asyncio
import selectors
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class _IdleSelector(selectors.SelectSelector):
    """Instead of waiting for a timeout it lets the loop's time pass."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            return []  # there is work to do; a socket or a thread is heard when there is none
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout is not None:
            self.passed += timeout
        return ready


class IdleLoop(asyncio.SelectorEventLoop):
    """`asyncio.sleep(3600)` and `asyncio.timeout(23)` take no time here, and still end in their right order."""

    def __init__(self) -> None:
        self._idle = _IdleSelector()
        super().__init__(self._idle)

    def time(self) -> float:
        return self._idle.passed


@dataclass
class Clock:
    """Stands at `start`, moves with the loop's time, and is set forward by tests."""

    start: datetime = START
    moved: timedelta = timedelta()
    seconds: Callable[[], float] = field(default=lambda: asyncio.get_running_loop().time())
    _began: float | None = None

    def __call__(self) -> datetime:
        if self._began is None:
            self._began = self.seconds()
        return self.start + self.moved + timedelta(seconds=self.seconds() - self._began)

    def forward(self, *, days: float = 0, seconds: float = 0) -> None:
        self.moved += timedelta(days=days, seconds=seconds)

    def set(self, to: datetime) -> None:
        self.moved += to - self()
