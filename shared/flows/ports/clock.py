"""Time, as flows take it: aware UTC, and a pause that a test can skip."""

from collections.abc import Awaitable, Callable
from datetime import datetime

type Clock = Callable[[], datetime]


type Pause = Callable[[float], Awaitable[None]]
