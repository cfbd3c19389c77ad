"""Every query is KQL, and asks for nothing that the code does not emit."""

import re
from functools import cache

import pytest

from shared.telemetry import names
from tests.monitor.language import Analysis, analyse
from tests.monitor.published import base, queries

QUERIES = queries()
# What stands before every query asks each event for these.
ALWAYS = {"event", "device_id", "outcome"}
METRICS = {metric.name: metric for metric in names.METRICS}
STRANGE = (
    'events | where event == "enrolled"',
    'events | where event == "sweep" | project e.device',
    'events | where event == "nudge" and outcome == "Enrolled"',
    'events | where event == "est" and e.operation in ("simpleenroll", "enroll")',
    'metrics | where Name == "birthcert.expired"',
    'metrics | where Name == "birthcert.queue.age" | project Properties.host',
    'metrics | where Name == "birthcert.expiring" and tostring(Properties.days) == "2"',
    'AppDependencies | where Name == "enroll"',
)
BROKEN = ("events | where", "Events", "metrics | where Nome == 1", "AppTraces | project Text")


@cache
def analysed() -> dict[str, Analysis]:
    """All at once: the language service takes two seconds to start."""
    return analyse({**QUERIES, **{query: f"{base()}\n{query}" for query in (*STRANGE, *BROKEN)}})


def texts(analysis: Analysis, what: str) -> set[str]:
    """The texts that the query compares with it for equality."""
    return {
        value
        for one in analysis.compared
        if one.what == what and one.operator in ("==", "!=", "in", "!in")
        for value in one.values
    }


def strangers(analysis: Analysis) -> list[str]:
    """The names and values in a query that no code emits."""
    events, named = texts(analysis, "event"), texts(analysis, "Name")
    fields = set[str]().union(*(names.EVENTS.get(one, ()) for one in events or names.EVENTS)) | ALWAYS
    metrics = [METRICS[one] for one in named if one in METRICS]
    dimensions = {dimension: values for metric in metrics for dimension, values in metric.dimensions.items()}
    known = {
        "e": fields,
        "Properties": set(dimensions),
        "event": set(names.EVENTS),
        "Name": {*METRICS, *names.FLOWS},
        "outcome": set[str]().union(*(names.OUTCOMES.get(one, ()) for one in events or names.OUTCOMES)),
        "operation": set(names.OPERATIONS),
        **{dimension: set(values) for dimension, values in dimensions.items() if values},
    }
    asked = {(of, name) for of, name in analysis.members}
    asked |= {
        (value_of, text)
        for one in analysis.compared
        if (value_of := re.sub(r"^(?:tostring\()?(?:e|Properties)\.(\w+)\)?$", r"\1", one.what)) in known
        and one.operator != "startswith"
        for text in one.values
    }
    return sorted(f"{of}: {name}" for of, name in asked if name not in known.get(of, {name}))


@pytest.mark.parametrize("name", QUERIES)
def test_the_query_is_kql_over_the_tables_of_application_insights(name: str) -> None:
    assert analysed()[name].problems == ()
    assert analysed()[name].tables


@pytest.mark.parametrize("name", QUERIES)
def test_the_query_asks_for_nothing_that_no_code_emits(name: str) -> None:
    assert strangers(analysed()[name]) == []


@pytest.mark.parametrize("query", STRANGE)
def test_a_name_or_a_value_that_no_code_emits_is_found(query: str) -> None:
    assert analysed()[query].problems == ()
    assert len(strangers(analysed()[query])) == 1


@pytest.mark.parametrize("query", BROKEN)
def test_what_is_no_kql_or_no_column_is_found(query: str) -> None:
    assert analysed()[query].problems


def test_the_alert_on_certificates_that_end_looks_at_those_that_have_ended_too() -> None:
    assert texts(analysed()["alerts/expiring"], "days") == {"over", "1", "3"}


def test_every_metric_is_asked_for_by_some_query() -> None:
    asked = set[str]().union(*(texts(analysed()[name], "Name") for name in QUERIES))
    assert set(METRICS) - asked == set()
