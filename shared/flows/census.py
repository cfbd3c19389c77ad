"""How many certificates end when: the whole ledger is read for it, in slices, a few times a day."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared.core.census import Counts, days_left
from shared.flows.ports.clock import Clock
from shared.flows.ports.index import Fleet, Watermarks

WATERMARK: Final = "census"
EVERY: Final = timedelta(hours=6)
# What has not come to its end by then is begun anew: its first numbers are old, or its mark leads nowhere.
TOO_OLD: Final = timedelta(days=1)
# A page takes about 100 ms, and the host ends a run after five minutes.
MOST_PAGES: Final = 300


@dataclass(frozen=True, slots=True)
class _Progress:
    """What was counted since `begun`, up to `mark`; there is none before the first page and after the last one."""

    begun: datetime
    counts: Counts
    mark: str = ""


@dataclass(frozen=True)
class Census:
    """Counts certificates that are neither superseded nor revoked."""

    fleet: Fleet
    watermarks: Watermarks
    clock: Clock
    most_pages: int = MOST_PAGES

    async def run(self) -> Counts | None:
        """The counts, when a census has come to its end, else None. Raises Unavailable; the next run goes on."""
        now, last = self.clock(), _read(await self.watermarks.get(WATERMARK))
        if last is not None and not last.mark and now - last.begun < EVERY:
            return None
        goes_on = last is not None and last.mark and now - last.begun < TOO_OLD
        progress = await self._slice(last if last is not None and goes_on else _Progress(now, {}))
        await self.watermarks.put(WATERMARK, _text(progress))
        return None if progress.mark else progress.counts

    async def _slice(self, progress: _Progress) -> _Progress:
        counts = {label: dict(steps) for label, steps in progress.counts.items()}
        mark = progress.mark
        for _ in range(self.most_pages):
            page = await self.fleet.endings(mark)
            for label, not_after in page.found:
                steps, left = counts.setdefault(label, {}), days_left(not_after, progress.begun)
                steps[left] = steps.get(left, 0) + 1
            mark = page.mark
            if not mark:
                break
        return replace(progress, counts=counts, mark=mark)


def _text(progress: _Progress) -> str:
    return json.dumps(asdict(progress) | {"begun": progress.begun.isoformat()})


def _read(text: str) -> _Progress | None:
    if not text:
        return None
    kept = json.loads(text)
    return _Progress(datetime.fromisoformat(kept["begun"]), kept["counts"], kept["mark"])
