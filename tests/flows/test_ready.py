"""Whether all that is needed answers; who asks often does not disturb it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shared.core.errors import Misconfigured, Unavailable
from shared.flows.ready import Ready

pytestmark = pytest.mark.anyio


def ready(**checks: Callable[[], Awaitable[object]]) -> Ready:
    return Ready(checks, lambda: asyncio.get_running_loop().time())


def raising(error: Exception) -> Callable[[], Awaitable[object]]:
    async def check() -> None:
        raise error

    return check


async def fine() -> str:
    return "whatever"


async def slow() -> None:
    await asyncio.sleep(3600)


async def test_when_all_is_well_there_is_nothing_to_say() -> None:
    assert await ready(ledger=fine, dps=fine).failures() == {}


async def test_what_does_not_answer_is_named_with_its_cause() -> None:
    checks = ready(
        ledger=raising(Unavailable("a service that is needed does not answer", retry_after=2, cause="ledger: 503")),
        key_vault=raising(Misconfigured("the service is not set up correctly")),
        dps=fine,
        digicert=raising(ValueError("unforeseen")),
    )
    assert await checks.failures() == {
        "ledger": "ledger: 503",
        "key_vault": "the service is not set up correctly",
        "digicert": "ValueError('unforeseen')",
    }


async def test_what_is_slow_does_not_answer_and_all_are_asked_at_once() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await ready(dps=slow, ledger=slow, key_vault=fine).failures() == {
        "dps": "no answer within 6 s",
        "ledger": "no answer within 6 s",
    }
    assert loop.time() - began == pytest.approx(6)


async def test_a_report_is_kept_for_five_seconds() -> None:
    asked: list[float] = []

    async def counted() -> None:
        asked.append(asyncio.get_running_loop().time())

    checks = ready(ledger=counted)
    await asyncio.gather(*(checks.failures() for _ in range(9)))
    await asyncio.sleep(4.9)
    await checks.failures()
    assert len(asked) == 1
    await asyncio.sleep(0.2)
    await checks.failures()
    assert len(asked) == 2
