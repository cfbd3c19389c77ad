"""Timer functions: NCRONTAB or TimeSpan schedules (learn.microsoft.com/azure/azure-functions/functions-bindings-timer).

`useMonitor` is ignored: the real host keeps the last occurrence in a blob to catch up after a restart, and nothing in
the sandbox outlives the process. The real host's clock and the app's are one, so timers follow a moved clock: a step
over an occurrence makes it due at once (one run, however many occurrences were stepped over).
"""

import asyncio
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from croniter import CroniterError, croniter

from sandbox.host.clock import Clock
from sandbox.host.host_json import HostJsonError, seconds
from sandbox.host.index import Datum, Function, Outcome, Retry
from sandbox.host.invoke import Invoker

log = logging.getLogger("sandbox.host")

Schedule = Callable[[datetime], datetime]

# What NCrontab knows: numbers, names of three letters, * , - / (croniter knows more, such as H, R, L and @daily).
_FIELD = re.compile(r"(?:[\d*,/-]|[A-Za-z]{3})+")
_PAST_DUE = timedelta(minutes=1)
_LONGEST_SLEEP = 3600.0


class ScheduleError(ValueError):
    pass


def schedule(expression: str) -> Schedule:
    """The next occurrence after a moment, in UTC."""
    fields = expression.split()
    if len(fields) == 1:
        try:
            interval = timedelta(seconds=seconds(expression))
        except HostJsonError as error:
            raise ScheduleError(f"schedule {expression!r}: {error}") from error
        return lambda moment: moment + interval
    if len(fields) not in {5, 6} or not all(_FIELD.fullmatch(field) for field in fields):
        raise ScheduleError(f"schedule {expression!r} is no NCRONTAB expression of six fields")
    full = " ".join(fields if len(fields) == 6 else ["0", *fields])

    def after(moment: datetime) -> datetime:
        # NCrontab wants day and weekday to fit both, where cron is content with one: day_or=False.
        found: datetime = croniter(full, moment, second_at_beginning=True, day_or=False).get_next(datetime)
        return found

    try:
        after(datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
    except CroniterError as error:
        raise ScheduleError(f"schedule {expression!r}: {error}") from error
    return after


@dataclass(frozen=True)
class Timer:
    function: Function
    after: Schedule
    invoker: Invoker
    clock: Clock

    async def run(self) -> None:
        due = self.after(self.clock.now())
        if self.function.trigger.get("runOnStartup"):
            await self.fire(past_due=False)
        while True:
            wait = (due - self.clock.now()).total_seconds()
            if wait > 0:
                moved = await self.clock.wait(min(wait, _LONGEST_SLEEP))
                if moved and due > self.clock.now():
                    due = self.after(self.clock.now())
                continue
            await self.fire(past_due=self.clock.now() - due > _PAST_DUE)
            due = self.after(self.clock.now())

    async def fire(self, *, past_due: bool) -> Outcome:
        """Run now, and again as the function's retry policy says; one run at a time, as the host's lock has it."""
        retry = self.function.retry
        most = retry.count if retry is not None else 0
        tries = 0
        while True:
            outcome = await self.invoker.run(self.function, timer_datum(past_due=past_due), retries=(tries, most))
            if outcome.ok or retry is None or tries == most:
                return outcome
            await asyncio.sleep(pause(retry, tries))
            tries += 1


def pause(retry: Retry, tries: int) -> float:
    if retry.strategy == "fixed_delay":
        return retry.shortest.total_seconds()
    return float(min(retry.shortest.total_seconds() * 2.0 ** min(tries, 32), retry.longest.total_seconds()))


def timer_datum(*, past_due: bool) -> Any:  # noqa: ANN401 - a Datum, which carries no types
    info = {"IsPastDue": past_due, "Schedule": {"AdjustForDST": True}, "ScheduleStatus": None}
    return Datum(json.dumps(info), "json")
