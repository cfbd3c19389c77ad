"""`/api/devices` as the Functions worker sees it: manifests row by row, and passcodes that are shown once."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from shared.core import births, table_rows
from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from tests.fakes.clock import IdleLoop
from tests.fakes.devices import Device
from tests.functions.births_api import JSON, LABEL, Factory
from tests.functions.ops_api import last, problem, read

PASSCODE = "/api/devices/dev-1/passcode"
MANIFEST = f"/api/devices?label={LABEL}"


@pytest.fixture
def factory() -> Iterator[Factory]:
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        yield Factory(runner)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("DEBUG")
    return caplog


def manifest(factory: Factory, content: bytes, media: str = "text/csv", url: str = MANIFEST) -> Any:  # noqa: ANN401
    return factory.send("POST", url, content, {"Content-Type": media, "X-Caller": "line 7"})


@pytest.mark.parametrize(
    ("media", "content"),
    [
        ("text/csv; charset=utf-8", b"device_id,hardware_serial\r\ndev-1,SN-1\r\ndev 2,SN-2\r\ndev-3,\r\n"),
        ("application/jsonl", b'{"device_id": "dev-1"}\n{"device_id": "dev 2"}\n{"device_id": "dev-3"}'),
        ("application/x-ndjson", b'{"device_id": "dev-1"}\n{"device_id": "dev 2"}\n{"device_id": "dev-3"}'),
    ],
)
def test_a_manifest_is_taken_row_by_row(
    factory: Factory, records: pytest.LogCaptureFixture, media: str, content: bytes
) -> None:
    response = manifest(factory, content, media)
    found = read(response)
    assert response.status_code == 200
    assert found["outcomes"] == {"expected": 2, "already_expected": 0, "refused": 1}
    assert [(one["row"], one["device_id"], one["outcome"]) for one in found["rows"]] == [
        (1, "dev-1", "expected"),
        (2, "dev 2", "refused"),
        (3, "dev-3", "expected"),
    ]
    assert "device id must be" in found["rows"][1]["reason"]
    told = {"operation": "devices_manifest", "caller": "line 7 (function key)", "rows": 3, "refused": 1, "status": 200}
    assert told.items() <= last(records).items()
    assert read(manifest(factory, content, media))["outcomes"]["already_expected"] == 2


@pytest.mark.parametrize(
    ("media", "content", "status", "says"),
    [
        ("text/plain", b"device_id\n", 415, "text/csv or application/jsonl"),
        ("text/csv", b"", 400, "device_id"),
        ("text/csv", b"id\n", 400, "device_id"),
        ("text/csv", b'device_id\n"x', 400, "line 2 is not CSV"),
        ("text/csv", "device_id\nx".encode("utf-16"), 400, "UTF-16"),
        ("application/jsonl", b"\xff", 400, "not in UTF-8"),
        ("application/jsonl", b'{"device_id": "x"}\n' * (table_rows.MAX_ROWS + 1), 413, "send it in parts"),
        ("application/jsonl", b" " * (table_rows.MAX_BYTES + 1), 413, "send it in parts"),
    ],
)
def test_what_is_no_manifest_is_refused_as_a_whole(
    factory: Factory, media: str, content: bytes, status: int, says: str
) -> None:
    found = problem(manifest(factory, content, media))
    assert found[0] == status
    assert says in found[2]
    assert not factory.world.ledger.rows


def test_a_manifest_names_a_label_in_its_rows_or_in_the_query(factory: Factory) -> None:
    content = b'{"device_id": "dev-1"}'
    assert read(manifest(factory, content, "application/jsonl", "/api/devices"))["outcomes"]["refused"] == 1
    assert problem(manifest(factory, content, "application/jsonl", "/api/devices?lable=x"))[0] == 400
    named = json.dumps({"device_id": "dev-1", "label": LABEL}).encode()
    assert read(manifest(factory, named, "application/jsonl", "/api/devices?code=x"))["outcomes"]["expected"] == 1


def test_a_store_that_fails_is_told_and_the_same_again_does_the_rest(factory: Factory) -> None:
    factory.world.calls.fail("ledger.commit", lambda: Unavailable("no", retry_after=3))
    assert problem(manifest(factory, b"device_id\ndev-1\ndev-2\n"))[0] == 503
    assert read(manifest(factory, b"device_id\ndev-1\ndev-2\n"))["outcomes"]["refused"] == 0


def test_a_passcode_is_shown_once_and_stands_in_no_log(factory: Factory, records: pytest.LogCaptureFixture) -> None:
    response = factory.post(PASSCODE, {"label": LABEL, "valid_hours": 1, "comment": "repair"})
    found = read(response)
    assert (response.status_code, found["user"], found["device_id"]) == (201, "dev-1", "dev-1")
    record = last(records)
    assert (record["operation"], record["device_id"], record["comment"]) == ("devices_passcode", "dev-1", "repair")
    device = Device("dev-1").with_password(f"{found['user']}:{found['passcode']}")
    factory.run(factory.world.birth(device))
    kept = factory.world.ledger.read(DeviceId("dev-1"))
    assert kept.device is not None
    assert kept.device.passcode is not None
    for text in (records.text, repr(kept), repr(factory.world.ledger)):
        assert found["passcode"] not in text
        assert kept.device.passcode.digest.hex() not in text


def test_each_request_makes_another_passcode_for_the_spelling_that_is_known(factory: Factory) -> None:
    first, second = (read(factory.post(PASSCODE, {"label": LABEL})) for _ in range(2))
    third = read(factory.post("/api/devices/DEV-1/passcode"))
    assert len({first["passcode"], second["passcode"], third["passcode"]}) == 3
    assert third["user"] == "dev-1"


@pytest.mark.parametrize(
    ("name", "content", "status", "says"),
    [
        ("dev-1", {}, 400, '"label"'),
        ("dev-1", {"label": "nowhere"}, 404, "no such label"),
        ("dev-1", {"label": LABEL, "valid_hours": 0}, 400, "whole number"),
        ("dev-1", {"label": LABEL, "valid_hours": births.MAX_VALID_HOURS + 1}, 400, f"to {births.MAX_VALID_HOURS}"),
        ("dev-1", {"label": LABEL, "valid_hours": "7"}, 400, "whole number"),
        ("dev-1", {"label": LABEL, "valid_hours": True}, 400, "whole number"),
        ("dev-1", {"label": LABEL, "passcode": "mine"}, 400, 'unknown fields: "passcode"'),
        ("dev-1", {"label": 7}, 400, '"label" must be text'),
        ("dev.", {"label": LABEL}, 400, "device id must be"),
        ("x" * 65, {"label": LABEL}, 400, "device id must be"),
    ],
)
def test_what_is_no_wish_for_a_passcode_is_refused(
    factory: Factory, name: str, content: object, status: int, says: str
) -> None:
    found = problem(factory.post(f"/api/devices/{name}/passcode", content))
    assert found[0] == status
    assert says in found[2]


def test_a_body_that_breaks_its_form_makes_no_passcode(factory: Factory) -> None:
    for headers, body, status in (
        ({"Content-Type": "text/plain"}, b"{}", 415),
        ({**JSON, "Transfer-Encoding": "chunked"}, b"", 400),
        (JSON, b"[]", 400),
        (JSON, b" " * 16_385, 413),
    ):
        assert problem(factory.send("POST", PASSCODE, body, headers))[0] == status
    assert not factory.world.ledger.rows
