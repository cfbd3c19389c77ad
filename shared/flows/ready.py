"""Whether every outside system answers, and which one does not."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from shared.core.errors import Refusal

_SECONDS: Final = 6.0
_KEPT_SECONDS: Final = 5.0


@dataclass
class Report:
    """What does not answer, with the cause for who may see it."""

    failures: dict[str, str]
    until: float


@dataclass(frozen=True)
class Ready:
    """Each check answers or raises. A report is kept for seconds, so that asking often costs the others nothing."""

    checks: Mapping[str, Callable[[], Awaitable[object]]]
    seconds: Callable[[], float]
    _kept: list[Report] = field(default_factory=list)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def failures(self) -> dict[str, str]:
        """The names of what does not answer, with causes; empty when all is well."""
        async with self._lock:
            if not self._kept or self.seconds() >= self._kept[0].until:
                names = list(self.checks)
                causes = await asyncio.gather(*(self._cause(name) for name in names))
                failures = {name: cause for name, cause in zip(names, causes, strict=True) if cause}
                self._kept[:] = [Report(failures, self.seconds() + _KEPT_SECONDS)]
            return self._kept[0].failures

    async def _cause(self, name: str) -> str:
        try:
            async with asyncio.timeout(_SECONDS):
                await self.checks[name]()
        except TimeoutError:
            return f"no answer within {_SECONDS:.0f} s"
        except Refusal as refusal:
            return refusal.cause or refusal.public
        except Exception as error:  # noqa: BLE001 - whatever a check raises is the answer to the question
            return repr(error)
        return ""
