"""The metrics: one function for each, whose arguments are its dimensions. `names.py` describes them.

What a timer looks at from time to time is a histogram, whose Max is the value: an instance that set a gauge once would
repeat it every minute for as long as it lives, beside what another instance has measured since.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation

from shared.core.census import DaysLeft
from shared.core.lifecycle import Kind
from shared.telemetry import names
from shared.telemetry.names import Answer, Metric

_METER: Final = metrics.get_meter("birthcert")


def _counter(metric: Metric) -> Counter:
    return _METER.create_counter(metric.name, metric.unit, metric.description)


def _histogram(metric: Metric) -> Histogram:
    return _METER.create_histogram(metric.name, metric.unit, metric.description)


_HAPPENED: Final = _counter(names.HAPPENED)
_LIFECYCLE: Final = _counter(names.LIFECYCLE)
_REFUSED: Final = _counter(names.REFUSED)
_NUDGED: Final = _counter(names.NUDGED)
_UPSTREAM_SECONDS: Final = _histogram(names.UPSTREAM_SECONDS)
_EXPIRING: Final = _histogram(names.EXPIRING)
_DUE: Final = _histogram(names.DUE)
_STUCK: Final = _histogram(names.STUCK)
_SAGA_AGE: Final = _histogram(names.SAGA_AGE)
_QUEUE_AGE: Final = _histogram(names.QUEUE_AGE)
_QUEUE_POISON: Final = _histogram(names.QUEUE_POISON)
_SYNC_LEFT: Final = _histogram(names.SYNC_LEFT)


def happened(event: str, level: str) -> None:
    _HAPPENED.add(1, {"event": event, "level": level})


def lifecycle(event: Kind, label: str) -> None:
    _LIFECYCLE.add(1, {"event": event, "label": label})


def refused(trigger: str, outcome: str) -> None:
    """`outcome` is the refusal's class: its text may hold what a device has sent."""
    _REFUSED.add(1, {"trigger": trigger, "outcome": outcome})


def nudged(outcome: str, urgency: str) -> None:
    _NUDGED.add(1, {"outcome": outcome, "urgency": urgency})


def upstream(seconds: float, host: str, answer: Answer) -> None:
    _UPSTREAM_SECONDS.record(seconds, {"host": host, "answer": answer})


def expiring(certificates: int, label: str, days: DaysLeft) -> None:
    _EXPIRING.record(certificates, {"label": label, "days": days})


def due(certificates: int) -> None:
    _DUE.record(certificates)


def stuck(devices: int) -> None:
    _STUCK.record(devices)


def saga_age(seconds: float) -> None:
    _SAGA_AGE.record(seconds)


def queue_age(seconds: float, queue: str) -> None:
    _QUEUE_AGE.record(seconds, {"queue": queue})


def queue_poison(messages: int, queue: str) -> None:
    _QUEUE_POISON.record(messages, {"queue": queue})


def sync_left(entries: int) -> None:
    _SYNC_LEFT.record(entries)


def watch_circuits(states: Callable[[], Mapping[str, bool]]) -> None:
    """Ask for the state of each host's circuit, true where it is open, whenever metrics are sent."""

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(int(is_open), {"host": host}) for host, is_open in states().items()]

    of = names.CIRCUIT_OPEN
    _METER.create_observable_gauge(of.name, [observe], of.unit, of.description)
