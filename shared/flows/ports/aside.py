"""How flows do what takes long: beside the event loop, which devices wait for."""

from collections.abc import Callable
from typing import Protocol


class Aside(Protocol):
    """Runs work in a thread of its own, or at once where a test wants that."""

    async def __call__[T](self, work: Callable[[], T], /) -> T: ...
