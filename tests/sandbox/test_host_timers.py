"""Schedules and retries of timer functions, and the load balancer's patience, without a process."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession, web

from sandbox.host import http
from sandbox.host.clock import Clock
from sandbox.host.host_json import HostJson
from sandbox.host.index import Function, Outcome, Retry
from sandbox.host.invoke import Invoker
from sandbox.host.keys import Keys
from sandbox.host.timers import ScheduleError, Timer, pause, schedule

THURSDAY = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
KEYS = Keys("f", "m", "e")


@pytest.mark.parametrize(
    ("expression", "following"),
    [
        ("*/20 * * * * *", "2026-01-01T12:00:40"),
        ("0 */5 * * * *", "2026-01-01T12:05:00"),
        ("*/5 * * * *", "2026-01-01T12:05:00"),
        ("0 30 9 * * 1-5", "2026-01-02T09:30:00"),
        ("0 0 0 * jan SUN", "2026-01-04T00:00:00"),
        ("0 0 0 13 * 5", "2026-02-13T00:00:00"),  # day AND weekday
        ("00:00:30", "2026-01-01T12:01:00"),
        ("1.00:00:00", "2026-01-02T12:00:30"),
    ],
)
def test_the_next_occurrence(expression: str, following: str) -> None:
    assert schedule(expression)(THURSDAY) == datetime.fromisoformat(f"{following}+00:00")


@pytest.mark.parametrize(
    "expression", ["", "@daily", "* * * *", "H * * * * *", "0 0 0 L * *", "0 61 * * * *", "25:00:00"]
)
def test_what_is_no_schedule(expression: str) -> None:
    with pytest.raises(ScheduleError, match="schedule"):
        schedule(expression)


def test_pauses_between_tries() -> None:
    seconds = timedelta(seconds=1)
    assert pause(Retry("fixed_delay", 3, 5 * seconds, 5 * seconds), 2) == 5
    growing = Retry("exponential_backoff", -1, 2 * seconds, 10 * seconds)
    assert [pause(growing, tries) for tries in (0, 1, 2, 3, 1000)] == [2, 4, 8, 10, 10]


@dataclass(frozen=True)
class Scripted(Invoker):
    """Stands in for the app: runs `act` instead of a function."""

    act: Callable[[Any, tuple[int, int]], Awaitable[bool]]
    ran: list[tuple[int, int]] = field(default_factory=list)

    async def run(
        self,
        function: Function,  # noqa: ARG002
        trigger: Any,  # noqa: ANN401
        metadata: dict[str, Any] | None = None,  # noqa: ARG002
        *,
        trace_parent: str = "",  # noqa: ARG002
        retries: tuple[int, int] = (0, 0),
    ) -> Outcome:
        self.ran.append(retries)
        return Outcome(ok=await self.act(trigger, retries))


async def unused(binding: dict[str, Any], datum: object) -> None:
    raise AssertionError((binding, datum))


async def fails(_trigger: object, _retries: object) -> bool:
    return False


def timer(act: Callable[[Any, tuple[int, int]], Awaitable[bool]], retry: Retry | None, **trigger: object) -> Timer:
    function = Function("f", "id", {"type": "timerTrigger", "name": "timer", **trigger}, {}, retry)
    return Timer(function, schedule("0 0 3 1 1 *"), Scripted(None, unused, act), Clock())


def test_a_failed_timer_is_tried_again_as_often_as_it_says() -> None:
    three = timer(fails, Retry("fixed_delay", 2, timedelta(), timedelta()))
    asyncio.run(three.fire(past_due=False))
    assert isinstance(three.invoker, Scripted)
    assert three.invoker.ran == [(0, 2), (1, 2), (2, 2)]
    once = timer(fails, None)
    asyncio.run(once.fire(past_due=False))
    assert isinstance(once.invoker, Scripted)
    assert once.invoker.ran == [(0, 0)]


def test_a_timer_runs_at_start_only_if_it_says_so() -> None:
    told: list[dict[str, Any]] = []

    async def listen(trigger: Any, _retries: object) -> bool:  # noqa: ANN401
        told.append(json.loads(trigger.value))
        return True

    async def run(**trigger: object) -> None:
        task = asyncio.create_task(timer(listen, None, **trigger).run())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run(runOnStartup=False))
    assert told == []
    asyncio.run(run(runOnStartup=True))
    assert told == [{"IsPastDue": False, "Schedule": {"AdjustForDST": True}, "ScheduleStatus": None}]


def test_the_load_balancer_gives_up_while_the_function_runs_on() -> None:
    finished = asyncio.Event()

    async def slow(_trigger: object, _retries: object) -> bool:
        await asyncio.sleep(0.2)
        finished.set()
        return True

    async def run() -> int:
        function = Function("f", "id", {"type": "httpTrigger", "name": "req", "authLevel": "ANONYMOUS"}, {})
        invoker = Scripted(HostJson().function_timeout, unused, slow)
        functions = http.HttpFunctions(
            {"f": function}, http.table({"f": function}, ""), KEYS, invoker, front_end_limit=0.05
        )

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            return await functions.answer(request, "/f", "")

        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{runner.addresses[0][1]}/f") as got:
            status = got.status
        await asyncio.wait_for(finished.wait(), 5)
        await runner.cleanup()
        return status

    assert asyncio.run(run()) == 502
