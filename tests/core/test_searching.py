"""The query of a list of certificates, and the token of its next page."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import searching
from shared.core.errors import Malformed
from shared.core.names import is_plain
from shared.core.searching import Search

MARK = json.dumps({"PartitionKey": "1!8!ZGV2", "RowKey": "1!8!Y2VydA--"})
FULL = {"expires_before": "2026-05-31", "status": "issued", "label": "north", "limit": "7"}


def test_without_parameters_everything_is_looked_for() -> None:
    assert searching.search({}) == Search(None, None, "", 50)
    assert searching.search({"code": "the function key"}) == Search(None, None, "", 50)


def test_every_parameter_is_read() -> None:
    assert searching.search(FULL) == Search(datetime(2026, 5, 31, tzinfo=UTC), "issued", "north", 7)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-05-31", datetime(2026, 5, 31, tzinfo=UTC)),
        ("2026-05-31T12:00:00Z", datetime(2026, 5, 31, 12, tzinfo=UTC)),
        ("2026-05-31T12:00:00+02:00", datetime(2026, 5, 31, 10, tzinfo=UTC)),
        ("20260531T120000Z", datetime(2026, 5, 31, 12, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_day_or_a_time_with_its_zone(text: str, moment: datetime) -> None:
    found = searching.search({"expires_before": text}).expires_before
    assert (found, found and found.tzinfo) == (moment, UTC)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("expires_before", "", "expires_before"),
        ("expires_before", "tomorrow", "expires_before"),
        ("expires_before", "2026-02-30", "expires_before"),
        ("expires_before", "2026-05-31T12:00:00", "zone"),
        ("expires_before", "2026-05-31T12:00:00 02:00", "expires_before"),
        ("expires_before", "0001-01-01T00:00:00+23:59", "expires_before"),
        ("expires_before", "9999-12-31T23:59:59-23:59", "expires_before"),
        ("expires_before", "2026-05-31T12:00:00.000000000000000000Z", "expires_before"),
        ("status", "Issued", "issued, superseded, revoked"),
        ("status", "", "issued, superseded, revoked"),
        ("label", "x" * 65, "64 characters"),
        ("label", "a\nb", "plain"),
        ("limit", "0", "1 to 100"),
        ("limit", "101", "1 to 100"),
        ("limit", "1000", "1 to 100"),
        ("limit", "", "1 to 100"),
        ("limit", "-1", "1 to 100"),
        ("limit", "٣", "1 to 100"),
        ("limits", "7", 'unknown parameters: "limits"; known are expires_before'),
    ],
)
def test_what_breaks_its_form_is_refused(name: str, text: str, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        searching.search({name: text})


def test_the_token_of_the_next_page_belongs_to_its_search() -> None:
    search = searching.search(FULL)
    token = searching.continuation(search, MARK)
    assert searching.search({**FULL, "continuation": token}) == replace(search, mark=MARK)
    assert searching.search({**FULL, "limit": "9", "continuation": token}).mark == MARK
    for change in ({"status": "revoked"}, {"label": "south"}, {"expires_before": "2026-06-01"}):
        with pytest.raises(Malformed, match="another search"):
            searching.search({**FULL, **change, "continuation": token})


def token(content: Any) -> str:  # noqa: ANN401 - JSON
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "ü",
        "a" * 4097,
        "a+/=",
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"[" * 3000).decode(),
        token([]),
        token({"a": 1}),
        token(["x", ""]),
        token([1, 2]),
        token(["x", "y", "z"]),
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="continuation"):
        searching.search({"continuation": text})


@given(st.dictionaries(st.sampled_from([*FULL, "continuation"]), st.text(max_size=50)))
def test_no_query_does_anything_but_be_read_or_be_refused(parameters: dict[str, str]) -> None:
    refused = []
    try:
        assert 1 <= searching.search(parameters).limit <= 100
    except Malformed as refusal:
        refused.append(refusal.public)
    assert all(is_plain(line) for line in refused)


def test_stuck_is_true_or_false() -> None:
    assert searching.stuck({"stuck": "true", "code": "key"})
    assert not searching.stuck({"stuck": "false"})
    assert not searching.stuck({})
    for parameters in ({"stuck": "1"}, {"stuck": ""}, {"Stuck": "true"}):
        with pytest.raises(Malformed):
            searching.stuck(parameters)
