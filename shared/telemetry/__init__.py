"""What operators see: log events, one span per flow with a span below it for each outside call, and metrics.

Through OpenTelemetry's API alone, which does nothing until Azure Monitor is joined (`shared/wiring/monitor.py`). An
event is a log line of one JSON object, with what an operator searches by, and never a secret. Text that a device chose
is escaped by JSON itself, so it cannot forge a line; long text is cut.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from shared.telemetry import measures
from shared.telemetry.names import Flow

LOGGER: Final = logging.getLogger("birthcert")
_TRACER: Final = trace.get_tracer("birthcert")
_LONGEST: Final = 500


def setup() -> None:
    """Log through the root handlers that the Functions worker installs; quieten the SDKs, which log every request."""
    LOGGER.setLevel(logging.INFO)
    for name in ("azure", "httpx", "httpcore", "msrest", "uamqp", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)


def event(name: str, fields: Mapping[str, object], level: int = logging.INFO) -> None:
    """Log one event, and count it. Fields that are None or empty are left out."""
    measures.happened(name, logging.getLevelName(level).lower())
    if LOGGER.isEnabledFor(level):
        shown = {key: _plain(value) for key, value in fields.items() if value is not None and value != ""}
        LOGGER.log(level, "%s", json.dumps({"event": name, **shown}))


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, int | float):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value)[:_LONGEST]


@contextmanager
def flow(name: Flow, device: str = "") -> Iterator[None]:
    """The span of one flow."""
    with _span(name, SpanKind.INTERNAL):
        about(device)
        yield


def about(device: str = "", outcome: str = "") -> None:
    """Whom the flow of this moment is for and what became of it, as soon as it is known."""
    span = trace.get_current_span()
    if device:
        span.set_attribute("birthcert.device_id", device)
    if outcome:
        span.set_attribute("birthcert.outcome", outcome)


@contextmanager
def outside(name: str, host: str, port: int = 443) -> Iterator[Span]:
    """The span of one call to another system, where no SDK opens one."""
    with _span(name, SpanKind.CLIENT) as span:
        span.set_attributes({"server.address": host, "server.port": port})
        yield span


@contextmanager
def outside_http(method: str, url: str) -> Iterator[Callable[[int], None]]:
    """The same for an HTTP request, which tells its status. Headers and the query are not told."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    with outside(method, host, parts.port or (80 if parts.scheme == "http" else 443)) as span:
        span.set_attributes({"http.request.method": method, "url.full": f"{parts.scheme}://{host}{parts.path}"})

        def answered(status: int) -> None:
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))

        yield answered


@contextmanager
def _span(name: str, kind: SpanKind) -> Iterator[Span]:
    """An error is told by its class alone: its text, and its causes' texts, belong into the log."""
    span = _TRACER.start_span(name, kind=kind)
    if span is trace.get_current_span():  # nobody takes spans: the API gives back the one that is there
        yield span
        return
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise
