"""The device queries of docs/operations.md, over twins with the tags that Birthcert writes."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.iot_hub.query import compile_query
from shared.core.allocation import tags
from tests.fakes.ops import a_certificate
from tests.monitor.published import RUNBOOKS

EXAMPLES = re.findall(r"^(.*?)\n\n```sql\n(.*?)```", RUNBOOKS.read_text(), re.MULTILINE | re.DOTALL)
QUERIES = [query for _, query in EXAMPLES]


def twin(end: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    written = tags(a_certificate("4a0b17", end=datetime.fromisoformat(end).replace(tzinfo=UTC)))
    bare = {"deviceId": "dev-1", "status": "enabled", "connectionState": "Disconnected", "properties": {"desired": {}}}
    return {**bare, "tags": {"certificate": written}, **changes}


EARLY = twin("2026-11-30T23:59:59")
LATE = twin("2026-12-01T00:00:01")


def test_the_chapter_has_examples() -> None:
    assert len(QUERIES) >= 5


@pytest.mark.parametrize("query", QUERIES)
def test_an_example_finds_some_devices_and_not_others(query: str) -> None:
    selects = compile_query(query)
    asked = {"desired": {"certificate": {"renew": "4a0b17", "urgency": "soon"}}}
    fleet = [
        EARLY,
        LATE,
        {**EARLY, "connectionState": "Connected"},
        {**LATE, "status": "disabled"},
        {**LATE, "properties": asked},
        {**EARLY, "tags": {}},
    ]
    assert 0 < sum(map(selects, fleet)) < len(fleet)


def test_a_day_divides_the_fleet_as_it_reads() -> None:
    selects = compile_query(QUERIES[0])
    assert selects(EARLY)
    assert not selects(LATE)


def test_the_documented_tags_are_the_tags_that_are_written() -> None:
    documented = re.findall(r"^\| `tags\.certificate\.(\w+)`", RUNBOOKS.read_text(), re.MULTILINE)
    assert documented == list(tags(a_certificate()))
