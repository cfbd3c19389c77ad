"""The pace of batches at DigiCert ONE: a factory's hundred thousand requests must not use up what devices need."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from shared.flows.ports.batches import Pace
from shared.flows.ports.clock import Clock, Pause


class LateError(Exception):
    """There is no turn soon, or no time left for it: what was to be done must be done later."""


@dataclass(frozen=True)
class Turns:
    """The turns of this process: taken from the shared pace a second's worth at a time, given out one by one."""

    pace: Pace
    per_minute: int
    clock: Clock
    pause: Pause
    reserved: deque[datetime] = field(default_factory=deque)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def wait(self) -> None:
        """Until it is our turn. Raises Unavailable, LateError."""
        async with self.lock:
            now = self.clock()
            while self.reserved and (now - self.reserved[0]).total_seconds() > 1:
                self.reserved.popleft()  # nobody used it in time: what is late is not made up for
            if not self.reserved:
                self.reserved.extend(await self.pace.reserve(max(1, self.per_minute // 60)))
            if not self.reserved:
                raise LateError
            turn = self.reserved.popleft()
        wait = (turn - self.clock()).total_seconds()
        if wait > 0:
            await self.pause(wait)
