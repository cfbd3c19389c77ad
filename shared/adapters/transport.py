"""The one place where HTTP to DigiCert ONE and DPS is sent: time budgets, retries, Retry-After, circuit breaker.

What may have been done is never blindly done again: a request that is not `repeatable` is sent a second time only when
the first surely did nothing (no connection, 429, 503).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from shared import telemetry
from shared.core.errors import OutcomeUnknown, Throttled, Unavailable
from shared.telemetry import measures
from shared.telemetry.names import Answer

_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_FAILURES_TO_OPEN: Final = 5
_OPEN_SECONDS: Final = 20.0
_CONNECT_SECONDS: Final = 4.0
_MAX_WAIT: Final = 3.0
_MAX_RETRY_AFTER: Final = 86_400


@dataclass
class Breaker:
    """After five failures in a row nothing is sent for twenty seconds; then one request tries."""

    monotonic: Callable[[], float]
    failures: int = 0
    open_until: float = 0.0

    def check(self, host: str) -> None:
        """Raises Unavailable while the circuit is open. When its time is over, this caller is the one that tries."""
        now = self.monotonic()
        if now < self.open_until:
            wait = max(1, round(self.open_until - now))
            raise Unavailable("a service that is needed does not answer", retry_after=wait, cause=f"{host}: open")
        if self.failures >= _FAILURES_TO_OPEN:
            self.open_until = now + _OPEN_SECONDS

    @property
    def is_open(self) -> bool:
        """Whether nothing is sent at this moment."""
        return self.monotonic() < self.open_until

    def note(self, *, ok: bool) -> None:
        self.failures = 0 if ok else self.failures + 1
        self.open_until = self.monotonic() + _OPEN_SECONDS if self.failures >= _FAILURES_TO_OPEN else 0.0


@dataclass(frozen=True)
class Call:
    """One request. `seconds` is the whole budget, retries and waits included."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)
    repeatable: bool = True
    seconds: float = 15.0


@dataclass(frozen=True)
class Transport:
    """Sends calls to one outside system."""

    breaker: Breaker
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]

    async def send(self, client: httpx.AsyncClient, call: Call) -> httpx.Response:
        """The response, whatever its status but 429 and 5xx.

        Raises Throttled (429) and Unavailable (503, no answer, open circuit) when nothing was done, and
        OutcomeUnknown when a call that is not repeatable may have been done.
        """
        end = self.monotonic() + call.seconds
        while True:
            self.breaker.check(httpx.URL(call.url).host)
            try:
                response = await self._once(client, call, end)
            except Throttled as refusal:
                wait: float = refusal.retry_after
                if not self._may_wait(wait, end):
                    raise
            except Unavailable as refusal:
                wait = refusal.retry_after
                if not self._may_wait(wait, end):
                    raise
            else:
                return response
            await asyncio.sleep(wait)

    def _may_wait(self, wait: float, end: float) -> bool:
        return wait <= _MAX_WAIT and self.monotonic() + wait < end - 1

    async def _once(self, client: httpx.AsyncClient, call: Call, end: float) -> httpx.Response:
        try:
            response = await self._observed(client, call, max(0.5, end - self.monotonic()))
        except _NOT_SENT as error:
            self.breaker.note(ok=False)
            raise Unavailable("a service that is needed does not answer", retry_after=1, cause=repr(error)) from error
        except (httpx.HTTPError, TimeoutError) as error:
            self.breaker.note(ok=False)
            if call.repeatable:
                raise Unavailable("a service that is needed fails", retry_after=1, cause=repr(error)) from error
            raise _unknown(repr(error)) from error
        self.breaker.note(ok=response.status_code < 500)
        return self._judged(call, response)

    async def _observed(self, client: httpx.AsyncClient, call: Call, left: float) -> httpx.Response:
        """One attempt, as operators see it: a span below the flow's, and a measure of how long it took."""
        began, answer = self.monotonic(), _answer(None)
        with telemetry.outside_http(call.method, call.url) as answered:
            try:
                async with asyncio.timeout(left):
                    response = await client.request(
                        call.method,
                        call.url,
                        headers=dict(call.headers),
                        content=call.content or None,
                        timeout=httpx.Timeout(left, connect=min(_CONNECT_SECONDS, left)),
                    )
                answer = _answer(response.status_code)
                answered(response.status_code)
            except asyncio.CancelledError:
                answer = "abandoned"
                raise
            finally:
                measures.upstream(self.monotonic() - began, httpx.URL(call.url).host, answer)
        return response

    def _judged(self, call: Call, response: httpx.Response) -> httpx.Response:
        status = response.status_code
        if status == 429:
            raise Throttled("the service throttles; try again", retry_after=self.retry_after(response), cause="429")
        if status == 503 or (status >= 500 and call.repeatable):
            raise Unavailable("the service is down", retry_after=self.retry_after(response), cause=str(status))
        if status >= 500:
            raise _unknown(f"status {status}")
        return response

    def retry_after(self, response: httpx.Response, otherwise: int = 1) -> int:
        """Retry-After in seconds, 1 to 86,400; it may be a number or a date (RFC 9110 §10.2.3)."""
        value = response.headers.get("Retry-After", "").strip()
        if value.isascii() and value.isdigit():
            seconds = int(value[:9])
        else:
            try:
                seconds = round((parsedate_to_datetime(value) - self.clock()).total_seconds())
            except (ValueError, TypeError):  # no date, or one without a zone
                seconds = otherwise
        return min(max(1, seconds), _MAX_RETRY_AFTER)


def _answer(status: int | None) -> Answer:
    if status is None:
        return "silent"
    if status == 429:
        return "throttled"
    return "failed" if status >= 500 else "refused" if status >= 400 else "answered"


def _unknown(cause: str) -> OutcomeUnknown:
    return OutcomeUnknown("the CA did not answer in time; send the same request again", retry_after=10, cause=cause)
