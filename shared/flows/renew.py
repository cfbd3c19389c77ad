"""Renewal in time: a scan over what is due, and a nudge for each device that has not renewed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

from shared.core.errors import Refusal, Unavailable
from shared.core.fleet import Change, Device
from shared.core.lifecycle import LifecycleEvent, event
from shared.core.profile import Profile, Profiles
from shared.core.renewal import Later, NoMore, Nudge, decide
from shared.flows.announce import tell
from shared.flows.ports.clock import Clock
from shared.flows.ports.hubs import Hubs
from shared.flows.ports.index import Due, Schedule, Watermarks
from shared.flows.ports.ledger import Ledger, StaleVersionError
from shared.flows.ports.work import Work

WATERMARK: Final = "expiry-scan"
BUSY: Final = "expiry-scan-busy"
# A first scan looks this far back.
_BACKWARDS: Final = timedelta(days=90)
_LONGEST_DELAY: Final = 7 * 86_400  # of a Storage queue message
# The host ends a function after five minutes (host.json), and nothing that it did would be written down.
_LONGEST_SCAN: Final = timedelta(seconds=200)
_AT_ONCE: Final = 16
_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a scan found; `nudges` were put into the queue, which is free again `spread` seconds from now.

    `days` is 0 for a scan that found it still busy, and looked for nothing.
    """

    days: int
    nudges: int
    spread: int


@dataclass(frozen=True, slots=True)
class Nudged:
    """How a nudge went. `reached`: the twin or a direct method took it."""

    outcome: str
    urgency: str = ""
    reached: bool = False


@dataclass(frozen=True)
class Renew:
    """`per_minute` is how many devices are asked a minute.

    Each renewal writes the hub's registry, whose budget is 100 a minute and unit on S1, so asking is paced below it.
    """

    profiles: Profiles
    ledger: Ledger
    hubs: Hubs
    schedule: Schedule
    watermarks: Watermarks
    work: Work
    clock: Clock
    per_minute: int

    async def scan(self) -> Scanned:
        """Put a nudge into the queue for all that is due up to today. Cost follows what is due, not the fleet.

        What is more than the queue takes in a week, or than is sent in time, is left to the next scan. While those of
        the last one are still coming out, more would come out beside them, faster than they may, and most of them
        twice. Raises Unavailable; the next scan begins again at the same day, and that is safe: the nudge itself
        decides by the device's state.
        """
        now = self.clock()
        today = now.date()
        busy = await self._busy(now)
        if busy:
            return Scanned(0, 0, busy)
        first = await self._first(today)
        day, nudges = first, 0
        async for some in self._due(first, today):
            day = some[0][1]
            longest = self._delay(nudges + len(some) - 1)
            if longest > _LONGEST_DELAY or self.clock() - now > _LONGEST_SCAN:  # the rest is for the scan after that
                break
            await self._send(some, nudges)
            nudges += len(some)
        else:
            day = today
        spread = min(self._delay(nudges), _LONGEST_DELAY)
        # From now on, not from the beginning: the last delay has begun with its message.
        await self.watermarks.put(BUSY, (self.clock() + timedelta(seconds=spread)).isoformat())
        await self.watermarks.put(WATERMARK, day.isoformat())
        return Scanned((day - first).days + 1, nudges, spread)

    async def _busy(self, now: datetime) -> int:
        """For how many seconds the queue is still full; longer than it ever can be where the clock was set back."""
        until = await self.watermarks.get(BUSY)
        left = int((datetime.fromisoformat(until) - now).total_seconds()) if until else 0
        return max(0, left) if left <= _LONGEST_DELAY else 0

    def _delay(self, place: int) -> int:
        """The seconds until so many others of a scan have come out."""
        return place * 60 // self.per_minute

    async def _send(self, some: Sequence[tuple[Due, date]], place: int) -> None:
        """Messages for these, the first of them at that place. None is still on its way when one fails."""
        sending = (self.work.nudge(due, day, self._delay(at)) for at, (due, day) in enumerate(some, place))
        for failure in await asyncio.gather(*sending, return_exceptions=True):
            if failure is not None:
                raise failure

    async def _due(self, first: date, last: date) -> AsyncIterator[list[tuple[Due, date]]]:
        """As many as are sent at once, the earliest first."""
        some: list[tuple[Due, date]] = []
        for offset in range((last - first).days + 1):
            day = first + timedelta(days=offset)
            async for due in self.schedule.due(day):
                some.append((due, day))
                if len(some) == _AT_ONCE:
                    yield some
                    some = []
        if some:
            yield some

    async def _first(self, today: date) -> date:
        """The day before the last scan's: what it left is in the queue, or was put down for a later day."""
        last = await self.watermarks.get(WATERMARK)
        return min(today, date.fromisoformat(last) - timedelta(days=1)) if last else today - _BACKWARDS

    async def nudge(self, due: Due, day: date) -> Nudged:
        """Ask the device to renew, unless it has, and put down when to ask again. Raises Unavailable."""
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(due.device_id)
            device, now = known.device, self.clock()
            if device is None:
                await self.schedule.drop(due, day)
                return Nudged("unknown")
            profile = self._profile(device)
            decision = decide(known, due.serial, profile.renewal, profile.renewal_point, now)
            if isinstance(decision, NoMore):
                await self.schedule.drop(due, day)
                return Nudged(decision.reason)
            if isinstance(decision, Later):
                await self._again(due, day, decision.again, now)
                return Nudged("later")
            # Asked first, written down after: a crash in between asks twice, and never not at all.
            try:
                reached = await self._ask(device, profile, due, decision)
            except Refusal:
                await self._put_down(due, day, _tomorrow(now))  # also when this message becomes poison
                raise
            counted = replace(device, nudged_at=now, nudges=device.nudges + 1)
            change = Change(counted, events=_events(device, due, decision, now))
            try:
                await self.ledger.commit(known, change)
            except StaleVersionError:
                continue
            await self._again(due, day, decision.again, now)
            await tell(self.work, known, change)
            return Nudged("nudged", decision.urgency, reached)
        raise Unavailable("the device's record is changing too fast", retry_after=5)

    def _profile(self, device: Device) -> Profile:
        by_label = self.profiles.by_label
        return by_label.get(device.label, by_label[self.profiles.default])

    async def _ask(self, device: Device, profile: Profile, due: Due, decision: Nudge) -> bool:
        """The desired property waits for the device; the direct method reaches it while it is connected."""
        if not device.hub:
            return False
        asked = {"renew": due.serial, "urgency": decision.urgency}
        written = await self.hubs.desire(device.hub, device.device_id, asked)
        method = profile.renewal.direct_method
        called = bool(method) and await self.hubs.invoke(device.hub, device.device_id, method, asked)
        return written or called

    async def _again(self, due: Due, day: date, again: datetime, now: datetime) -> None:
        """On a later day the scan finds it; on this one a delayed message comes back.

        The scan finds it tomorrow then, should that be lost, and not today: one message is enough.
        """
        tomorrow = _tomorrow(now)
        later = max(again.date(), tomorrow)
        await self._put_down(due, day, later)
        if again.date() < tomorrow:
            await self.work.nudge(due, later, int((again - now).total_seconds()))

    async def _put_down(self, due: Due, day: date, later: date) -> None:
        """From that day to a later one. The message may have come from there."""
        await self.schedule.add(due, later)
        if day != later:
            await self.schedule.drop(due, day)


def _tomorrow(now: datetime) -> date:
    return now.date() + timedelta(days=1)


def _events(device: Device, due: Due, decision: Nudge, now: datetime) -> tuple[LifecycleEvent, ...]:
    """`nudged` each time; `expiring` once, when it becomes urgent. After an operator's wish it comes again, same id."""
    about = f"{due.serial}-{device.nudges + 1}"
    nudged = event("nudged", device.device_id, now, about, serial=due.serial, urgency=decision.urgency)
    if not decision.expiring:
        return (nudged,)
    return nudged, event("expiring", device.device_id, now, due.serial, serial=due.serial)
