"""OpenTelemetry with exporters in memory. The API takes one provider for the life of a process: it is made once."""

from collections.abc import Callable
from functools import cache
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.telemetry import measures

_DELTA: dict[type, AggregationTemporality] = dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)


@cache
def _spans() -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@cache
def _metrics() -> InMemoryMetricReader:
    reader = InMemoryMetricReader(preferred_temporality=_DELTA)
    metrics.set_meter_provider(MeterProvider([reader]))
    return reader


_CIRCUITS: dict[str, Callable[[], bool]] = {}


@cache
def _watched() -> None:
    measures.watch_circuits(lambda: {host: is_open() for host, is_open in _CIRCUITS.items()})


def watch_circuit(host: str, is_open: Callable[[], bool]) -> None:
    """Of one name there is one gauge in a process: who asks for another is given the first."""
    _CIRCUITS[host] = is_open
    _watched()


def forget() -> None:
    _spans().clear()
    _metrics().get_metrics_data()


def spans() -> list[ReadableSpan]:
    """Those that have ended since `forget`, the innermost first."""
    return list(_spans().get_finished_spans())


def points() -> list[tuple[str, dict[str, Any], Any]]:
    """What was measured since `forget`: name, dimensions and the SDK's data point."""
    found = _metrics().get_metrics_data()
    return [
        (metric.name, dict(point.attributes or {}), point)
        for of_resource in (found.resource_metrics if found else ())
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
        for point in metric.data.data_points
    ]
