"""The app's clock, which a test may move: the app sees the moved time everywhere and knows nothing of it.

time-machine moves `datetime` and `time.time`, and leaves `time.monotonic` alone, so the event loop and every time-out
go on as before. OpenSSL reads the machine's clock: the sandbox's TLS stays valid however far a test travels.
"""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import time_machine


class Clock:
    def __init__(self) -> None:
        self._travel: time_machine.travel | None = None
        self._moved = asyncio.Event()

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)

    def move(self, offset: timedelta) -> None:
        """Set the app's clock to the machine's plus `offset` (not added to an earlier offset)."""
        if self._travel is not None:
            self._travel.stop()
        self._travel = time_machine.travel(datetime.now(UTC) + offset, tick=True)
        self._travel.start()
        self._moved.set()
        self._moved = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Sleep; true when the clock was moved meanwhile."""
        moved = self._moved
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await moved.wait()
        return moved.is_set()

    def stop(self) -> None:
        if self._travel is not None:
            self._travel.stop()
            self._travel = None
