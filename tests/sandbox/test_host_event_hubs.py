"""Event Hub functions of the host: batches, their metadata, retries, and what is passed over."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.host_app.process import Answer, HostProcess, running


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    with running(tmp_path_factory.mktemp("host")) as host:
        yield host


def send(host: HostProcess, events: object, name: str = "DPS-logs", key: str = "master-key") -> Answer:
    return host.ask(f"/admin/eventhubs/{name}", "POST", json.dumps(events).encode(), x_functions_key=key)


def batches(host: HostProcess, first: str) -> list[dict[str, Any]]:
    return [entry for entry in host.seen() if entry.get("batch", [""])[0] == first]


def test_a_batch_is_one_invocation_with_a_number_for_each_event(host: HostProcess) -> None:
    assert send(host, ["text", {"records": [1]}]).status == 202
    (seen,) = batches(host, "text")
    assert seen["batch"] == ["text", '{"records": [1]}']
    first, second = seen["numbers"]
    assert second == first + 1


def test_a_batch_has_no_more_events_than_host_json_allows(host: HostProcess) -> None:
    assert send(host, ["many"] * 7).status == 202
    assert [len(entry["batch"]) for entry in batches(host, "many")] == [3, 3, 1]


def test_the_retry_policy_is_kept_and_then_the_batch_is_passed_over(host: HostProcess) -> None:
    assert send(host, ["once"]).status == 202
    assert len(batches(host, "once")) == 2
    assert send(host, ["fail"]).status == 500
    assert len(batches(host, "fail")) == 2
    assert "'Functions.hub_batch' has failed for good" in host.log()


def test_a_function_may_want_single_events(host: HostProcess) -> None:
    assert send(host, ["s-1", "s-2"], "singles").status == 202
    assert [entry["single"] for entry in host.seen() if "single" in entry] == ["s-1", "s-2"]


@pytest.mark.parametrize(
    ("name", "key", "body", "status"),
    [
        ("dps-logs", "function-key", [], 401),
        ("elsewhere", "master-key", [], 404),
        ("dps-logs", "master-key", 1, 400),
        ("dps-logs", "master-key", ["x" * 2**20 + "x"], 400),
    ],
)
def test_what_the_host_does_not_take(host: HostProcess, name: str, key: str, body: object, status: int) -> None:
    assert send(host, body, name, key).status == status
