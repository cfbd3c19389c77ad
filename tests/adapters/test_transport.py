"""What is repeated and what is not, and for how long: over httpx's own in-memory transport."""

from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from shared.adapters.transport import Breaker, Call, Transport
from shared.core.errors import Again, OutcomeUnknown, Throttled, Unavailable

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

type Handler = Callable[[httpx.Request], httpx.Response]


class Upstream:
    """Answers from a list of statuses or exceptions, and counts what reached it."""

    def __init__(self, *answers: int | Exception | httpx.Response) -> None:
        self.answers = list(answers)
        self.calls = 0
        self.seconds = 0.0
        self.transport = Transport(Breaker(lambda: self.seconds), lambda: NOW, lambda: self.seconds)

    def __call__(self, _request: httpx.Request) -> httpx.Response:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer) if isinstance(answer, int) else answer

    async def send(self, *, repeatable: bool = False, seconds: float = 1.5) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
            call = Call("POST", "https://one.example/x", repeatable=repeatable, seconds=seconds)
            return await self.transport.send(client, call)


async def test_an_answer_comes_back_whatever_its_status() -> None:
    for status in (200, 202, 204, 302, 400, 401, 403, 404, 409):
        assert (await Upstream(status).send()).status_code == status


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_after_a_server_error_an_order_may_have_been_done(status: int) -> None:
    upstream = Upstream(status)
    with pytest.raises(OutcomeUnknown):
        await upstream.send()
    assert upstream.calls == 1


@pytest.mark.parametrize("error", [httpx.ReadTimeout("slow"), httpx.ReadError("reset"), httpx.RemoteProtocolError("")])
async def test_an_order_whose_answer_is_lost_is_not_sent_again(error: Exception) -> None:
    upstream = Upstream(error)
    with pytest.raises(OutcomeUnknown):
        await upstream.send(seconds=10)
    assert upstream.calls == 1


async def test_a_reading_whose_answer_is_lost_is_sent_again() -> None:
    upstream = Upstream(httpx.ReadError("reset"), 200)
    assert (await upstream.send(repeatable=True, seconds=10)).status_code == 200
    assert upstream.calls == 2


async def test_an_order_that_never_left_is_sent_again_within_the_budget() -> None:
    upstream = Upstream(httpx.ConnectError("refused"), 200)
    assert (await upstream.send(seconds=10)).status_code == 200
    upstream = Upstream(httpx.ConnectError("refused"))
    with pytest.raises(Unavailable):
        await upstream.send(seconds=1.5)
    assert upstream.calls == 1


async def test_a_short_retry_after_is_waited_for_and_a_long_one_is_handed_on() -> None:
    soon, late = httpx.Response(429, headers={"Retry-After": "1"}), httpx.Response(429, headers={"Retry-After": "60"})
    assert (await Upstream(soon, 200).send(seconds=10)).status_code == 200
    with pytest.raises(Throttled) as refused:
        await Upstream(late).send(seconds=10)
    assert refused.value.retry_after == 60


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 1),
        ("Mon, 23 Nov 2026 12:02:00 GMT", 120),
        ("Mon, 23 Nov 2020 12:02:00 GMT", 1),
        ("Mon, 23 Nov 2026 12:02:00", 5),
        ("999999999999999999999", 86_400),
        ("٣", 5),
        ("soon", 5),
        ("", 5),
    ],
)
async def test_retry_after_is_a_number_or_a_date(value: str, seconds: int) -> None:
    response = httpx.Response(503, headers={b"Retry-After": value.encode()})
    assert Upstream(200).transport.retry_after(response, otherwise=5) == seconds


async def test_after_five_failures_nothing_is_sent_for_a_while_and_then_one_request_tries() -> None:
    upstream = Upstream(httpx.ReadTimeout("slow"))
    for _ in range(5):
        with pytest.raises(OutcomeUnknown):
            await upstream.send()
    with pytest.raises(Unavailable) as refused:
        await upstream.send()
    assert upstream.calls == 5
    assert 1 <= refused.value.retry_after <= 20
    upstream.seconds = 21.0
    with pytest.raises(OutcomeUnknown):
        await upstream.send()
    assert upstream.calls == 6
    with pytest.raises(Unavailable):
        await upstream.send()
    upstream.seconds = 50.0
    upstream.answers = [200]
    assert (await upstream.send()).status_code == 200
    assert (await upstream.send()).status_code == 200


async def test_while_one_request_tries_the_others_still_wait() -> None:
    upstream = Upstream(200)
    breaker = upstream.transport.breaker
    for _ in range(5):
        breaker.note(ok=False)
    upstream.seconds = 21.0
    breaker.check("one.example")
    with pytest.raises(Unavailable):
        breaker.check("one.example")


async def test_throttling_does_not_open_the_circuit() -> None:
    upstream = Upstream(httpx.Response(429, headers={"Retry-After": "60"}))
    for _ in range(8):
        with pytest.raises(Again):
            await upstream.send()
    assert upstream.calls == 8


async def test_an_answer_that_never_ends_is_cut_off_by_the_budget() -> None:
    async def endless(_request: httpx.Request) -> httpx.Response:
        import asyncio

        await asyncio.sleep(30)
        return httpx.Response(200)

    transport = Upstream(200).transport
    async with httpx.AsyncClient(transport=httpx.MockTransport(endless)) as client:
        with pytest.raises(OutcomeUnknown):
            await transport.send(client, Call("POST", "https://one.example/x", repeatable=False, seconds=0.2))
