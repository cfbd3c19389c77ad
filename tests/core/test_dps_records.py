"""DPS's diagnostic records in every form they may come in."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.dps_records import DpsRegistered, NotRead, parse_batch
from shared.core.events import DpsFailure
from shared.core.fleet import Failure
from shared.core.identity import DeviceId

RECORD: dict[str, Any] = {
    "time": "2026-03-02T09:00:00Z",
    "category": "DeviceOperations",
    "operationName": "AttestationAttempt",
    "resultType": "Success",
    "properties": {"id": "dev-1", "type": "Registration", "protocol": "Mqtt"},
    "callerIpAddress": "203.0.113.7",
}
FAILED = RECORD | {
    "resultType": "Failure",
    "resultSignature": "401002",
    "resultDescription": "CA certificate not found.",
}


def batch(*records: object) -> bytes:
    return json.dumps({"records": list(records)}).encode()


def test_a_registration_is_told_with_properties_as_object_and_as_text() -> None:
    as_text = RECORD | {"properties": json.dumps(RECORD["properties"])}
    assert parse_batch(batch(RECORD, as_text)) == [DpsRegistered(DeviceId("dev-1"))] * 2


def test_a_refusal_is_told_with_reason_time_and_address() -> None:
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    failure = Failure("401002: CA certificate not found.", at, "203.0.113.7")
    assert parse_batch(batch(FAILED)) == [DpsFailure(DeviceId("dev-1"), failure)]


def test_the_form_of_log_analytics_is_read_too() -> None:
    record = {
        "Category": "DeviceOperations",
        "ResultType": "Failure",
        "TimeGenerated": "2026-03-02T09:00:00",
        "properties_s": '{"id": "dev-1"}',
    }
    (found,) = parse_batch(json.dumps(record).encode())
    assert found == DpsFailure(DeviceId("dev-1"), Failure("Failure", datetime(2026, 3, 2, 9, tzinfo=UTC), ""))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"7", "no object"),
        (batch(7), "no object"),
        (batch(RECORD | {"category": "ServiceOperations"}), "another category"),
        (batch(RECORD | {"properties": None}), "names no device"),
        (batch(RECORD | {"properties": "{"}), "names no device"),
        (batch(RECORD | {"properties": {"id": "a/b"}}), "names no device"),
        (batch(FAILED | {"time": "yesterday"}), "no time"),
        (batch(FAILED | {"time": "0001-01-01T00:00:00+01:00"}), "no time"),
        (batch(FAILED | {"time": "0001-01-01T00:00:00Z"}), "no time"),
        (batch(FAILED | {"time": "9999-12-31T23:59:59-01:00"}), "no time"),
    ],
)
def test_what_cannot_be_read_is_said_and_never_raised(body: bytes, reason: str) -> None:
    (found,) = parse_batch(body)
    assert isinstance(found, NotRead)
    assert reason in found.reason


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(
        lambda value: json.dumps({"records": value}).encode()
    )
)
def test_any_message_is_read(body: bytes) -> None:
    assert isinstance(parse_batch(body), list)
