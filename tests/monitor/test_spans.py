"""One span for a flow, one below it for each call outside, and nothing in them that does not belong there."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from functions import est, work
from shared import telemetry
from shared.adapters.transport import Breaker, Call, Transport
from shared.core.errors import Again, Unavailable
from shared.telemetry import names
from tests.fakes.world import Fakes, fakes
from tests.functions.calling import REQUEST_ID, Message, handler, http
from tests.monitor import recording

TYPE = {"Content-Type": "application/pkcs10"}


@pytest.fixture(autouse=True)
def recorded() -> Iterator[None]:
    recording.forget()
    yield
    recording.forget()


def only() -> ReadableSpan:
    (span,) = recording.spans()
    return span


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def enroll(world: Fakes) -> int:
    device = world.device()
    given = {**TYPE, "X-ARR-ClientCert": device.submission().presented.certificate}
    request = http("POST", "/.well-known/est/simpleenroll", device.submission().body, given)
    return int(asyncio.run(est.answer(world.application(), request, REQUEST_ID)).status_code)


def test_an_enrollment_is_one_span_that_names_the_device_and_the_outcome() -> None:
    assert enroll(fakes()) == 200
    assert only().name == "est"
    assert told(only()) == {"birthcert.device_id": "dev-1", "birthcert.outcome": "Enrolled"}


def test_a_refusal_is_told_on_the_span_by_its_class_and_counted() -> None:
    world = fakes()
    world.calls.fail("ledger.load", lambda: Unavailable("down", retry_after=5, cause="no route"))
    assert enroll(world) == 503
    assert told(only()) == {"birthcert.device_id": "dev-1", "birthcert.outcome": "Unavailable"}
    refused = [dimensions for name, dimensions, _ in recording.points() if name == names.REFUSED.name]
    assert refused == [{"trigger": "est", "outcome": "Unavailable"}]


def test_a_flow_that_fails_tells_the_class_of_the_error_and_not_its_text() -> None:
    world = fakes()
    world.calls.fail("ledger.load", lambda: Unavailable("down", retry_after=5, cause="a cause"))
    saga = handler(work.blueprint, world.application, "saga")
    with pytest.raises(Unavailable):
        asyncio.run(saga(Message('{"deviceId": "dev-1"}')))
    assert (only().name, only().status.status_code) == ("saga", StatusCode.ERROR)
    assert told(only()) == {"birthcert.device_id": "dev-1", "error.type": "Unavailable"}
    assert only().events == ()
    assert not only().status.description


class Upstream:
    """Answers with a status, or with an exception."""

    def __init__(self, answer: int | Exception) -> None:
        self.answer = answer
        self.transport = Transport(Breaker(time.monotonic), lambda: datetime.now(UTC), time.monotonic)

    def __call__(self, _request: httpx.Request) -> httpx.Response:
        if isinstance(self.answer, Exception):
            raise self.answer
        return httpx.Response(self.answer)

    async def order(self) -> httpx.Response:
        call = Call(
            "POST",
            "https://user:secret@one.example/est/simpleenroll?key=secret",
            {"Authorization": "Basic c2VjcmV0"},
            b"secret",
            repeatable=False,
            seconds=1,
        )
        async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
            with telemetry.flow("est"):
                return await self.transport.send(client, call)


def latencies() -> list[dict[str, Any]]:
    return [dimensions for name, dimensions, _ in recording.points() if name == names.UPSTREAM_SECONDS.name]


async def test_a_request_to_digicert_one_has_a_span_below_the_flow_and_no_secret_in_it() -> None:
    await Upstream(200).order()
    request, flow = recording.spans()
    assert request.parent is not None
    assert request.parent.span_id == flow.context.span_id
    assert (request.name, request.kind) == ("POST", SpanKind.CLIENT)
    assert told(request) == {
        "server.address": "one.example",
        "server.port": 443,
        "http.request.method": "POST",
        "url.full": "https://one.example/est/simpleenroll",
        "http.response.status_code": 200,
    }
    assert latencies() == [{"host": "one.example", "answer": "answered"}]


@pytest.mark.parametrize(
    ("answer", "measured"),
    [
        (404, "refused"),
        (429, "throttled"),
        (500, "failed"),
        (httpx.ReadTimeout("slow"), "silent"),
        (httpx.ConnectError("no route"), "silent"),
    ],
)
async def test_how_a_request_went_is_measured(answer: int | Exception, measured: str) -> None:
    with contextlib.suppress(Again):  # what it means for the caller is tested with the transport
        await Upstream(answer).order()
    assert {(one["host"], one["answer"]) for one in latencies()} == {("one.example", measured)}
    status = recording.spans()[0].status.status_code
    assert (status is StatusCode.ERROR) == (measured in ("failed", "silent"))


async def test_a_request_that_nobody_waits_for_any_more_is_told_apart_from_one_without_an_answer() -> None:
    async def never(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    upstream = Upstream(200)
    async with httpx.AsyncClient(transport=httpx.MockTransport(never)) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await upstream.transport.send(client, Call("GET", "https://one.example/"))
    assert latencies() == [{"host": "one.example", "answer": "abandoned"}]


def test_the_state_of_each_circuit_is_asked_for_when_metrics_are_sent() -> None:
    breaker = Breaker(time.monotonic)
    recording.watch_circuit("breaking.example", lambda: breaker.is_open)

    def state() -> Any:  # noqa: ANN401 - a number of the SDK
        return next(
            point.value for _, dimensions, point in recording.points() if dimensions == {"host": "breaking.example"}
        )

    assert state() == 0
    for _ in range(5):
        breaker.note(ok=False)
    assert state() == 1
