"""`shared/telemetry/names.py` lists what the code emits: all of it, and nothing else."""

import ast
import inspect
from collections.abc import Callable, Iterator

import pytest

from shared.telemetry import measures, names
from tests.conftest import REPOSITORY
from tests.monitor import recording

SOURCES = [*sorted((REPOSITORY / "functions").glob("*.py")), REPOSITORY / "shared" / "wiring" / "monitor.py"]
TREES = [ast.parse(path.read_text()) for path in SOURCES]


def calls(*called: str) -> Iterator[ast.Call]:
    for node in (node for tree in TREES for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in called:
            yield node


def first_texts(*called: str) -> set[str]:
    """The first arguments of these calls, where they are texts."""
    return {str(one.args[0].value) for one in calls(*called) if one.args and isinstance(one.args[0], ast.Constant)}


def keys() -> set[str]:
    """Every text that stands as a key."""
    found = set()
    for node in (node for tree in TREES for node in ast.walk(tree)):
        texts = node.keys if isinstance(node, ast.Dict) else [node.slice] if isinstance(node, ast.Subscript) else []
        found |= {one.value for one in texts if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return found


def test_every_event_that_is_logged_is_listed_and_every_listed_one_is_logged() -> None:
    assert first_texts("telemetry.event", "http.log_refusal", "log_refusal") == set(names.EVENTS)


def test_every_listed_field_is_filled_in_somewhere() -> None:
    assert set[str]().union(*names.EVENTS.values()) - keys() == set()


def test_every_flow_has_its_span() -> None:
    assert first_texts("telemetry.flow") == set(names.FLOWS)


def test_every_outcome_is_of_an_event_that_has_one() -> None:
    assert set(names.OUTCOMES) == {event for event, fields in names.EVENTS.items() if "outcome" in fields}


# What each function of measures.py may be given.
MEASURED: tuple[tuple[names.Metric, Callable[[], None]], ...] = (
    (names.HAPPENED, lambda: measures.happened("est", "info")),
    (names.LIFECYCLE, lambda: measures.lifecycle("issued", "devices")),
    (names.REFUSED, lambda: measures.refused("est", "Forbidden")),
    (names.NUDGED, lambda: measures.nudged("nudged", "due")),
    (names.UPSTREAM_SECONDS, lambda: measures.upstream(0.5, "one.example", "answered")),
    (names.CIRCUIT_OPEN, lambda: recording.watch_circuit("one.example", lambda: True)),
    (names.EXPIRING, lambda: measures.expiring(7, "devices", "30")),
    (names.DUE, lambda: measures.due(7)),
    (names.STUCK, lambda: measures.stuck(7)),
    (names.SAGA_AGE, lambda: measures.saga_age(7)),
    (names.QUEUE_AGE, lambda: measures.queue_age(7, "saga")),
    (names.QUEUE_POISON, lambda: measures.queue_poison(7, "saga")),
    (names.SYNC_LEFT, lambda: measures.sync_left(7)),
)


def test_each_measure_has_its_listed_dimensions() -> None:
    assert tuple(metric for metric, _ in MEASURED) == names.METRICS
    for metric, measure in MEASURED:
        recording.forget()
        measure()
        measured = {name: dimensions for name, dimensions, _ in recording.points()}
        assert set(measured[metric.name]) == set(metric.dimensions), metric.name
        for dimension, values in metric.dimensions.items():
            assert not values or measured[metric.name][dimension] in values


def test_no_measure_is_missing_in_the_list() -> None:
    public = [name for name, one in inspect.getmembers(measures, inspect.isfunction) if not name.startswith("_")]
    ours = [name for name in public if getattr(measures, name).__module__ == measures.__name__]
    assert len(ours) == len(names.METRICS) == len(MEASURED)


@pytest.mark.parametrize("metric", names.METRICS, ids=lambda metric: metric.name)
def test_no_dimension_can_hold_what_a_device_has_chosen(metric: names.Metric) -> None:
    """A dimension without a closed list of values is one of those that the configuration bounds."""
    open_ones = {name for name, values in metric.dimensions.items() if not values}
    assert open_ones <= {"label", "host", "queue"}
