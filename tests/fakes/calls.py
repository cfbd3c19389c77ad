"""Every call of a port, in order; any of them may be made to end badly, before its work is done or after."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

type Moment = Literal["before", "after"]


class Crash(BaseException):
    """The process died: no code of ours catches this."""


@dataclass
class Fault:
    """Hits calls of `name` (all, when empty) from the call numbered `number` on, and raises what `error` makes."""

    error: Callable[[], BaseException]
    moment: Moment
    name: str = ""
    number: int = 0
    times: int = 1


@dataclass
class Calls:
    """What the fakes share. `made` are the names of the calls, `faults` what is still to happen.

    `meanwhile` is what others do during calls of a name, before their work is done; `between` before one call, once.
    Without `turns` nothing else runs beside: plays by the thousand are done in half the time.
    """

    made: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    meanwhile: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    between: dict[int, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    turns: bool = True

    def fail(self, name: str, error: Callable[[], BaseException], *, moment: Moment = "before", times: int = 1) -> None:
        """The next calls of `name` fail."""
        self.faults.append(Fault(error, moment, name, times=times))

    def fail_at(self, number: int, error: Callable[[], BaseException], *, moment: Moment) -> None:
        """One call fails: the one that so many calls came before."""
        self.faults.append(Fault(error, moment, number=number))

    def count(self, name: str) -> int:
        return self.made.count(name)

    @asynccontextmanager
    async def to(self, name: str) -> AsyncIterator[None]:
        """Around the work of every call. Others get their turn before the work and after it, as over a network."""
        number = len(self.made)
        self.made.append(name)
        await self._turn()
        if number in self.between:
            await self.between.pop(number)()
        self._strike(name, number, "before")
        if name in self.meanwhile:
            await self.meanwhile[name]()
        yield
        await self._turn()
        self._strike(name, number, "after")

    async def _turn(self) -> None:
        if self.turns:
            await asyncio.sleep(0)

    def _strike(self, name: str, number: int, moment: Moment) -> None:
        for fault in self.faults:
            if fault.moment == moment and fault.name in ("", name) and number >= fault.number:
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                raise fault.error()
