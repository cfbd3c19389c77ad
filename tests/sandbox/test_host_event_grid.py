"""The Event Grid webhook of the function host."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.host_app.process import Answer, HostProcess, running


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    with running(tmp_path_factory.mktemp("host")) as host:
        yield host


def event(number: str, subject: str = "devices/a") -> dict[str, Any]:
    return {
        "id": number,
        "topic": "/hubs/hub-a",
        "subject": subject,
        "eventType": "Microsoft.Devices.DeviceCreated",
        "eventTime": "2026-01-01T00:00:00Z",
        "data": {"deviceId": "a"},
        "dataVersion": "",
    }


def deliver(host: HostProcess, events: object, function: str = "hub_event", **headers: str) -> Answer:
    path = f"/runtime/webhooks/EventGrid?functionName={function}&code=event-grid-key"
    return host.ask(path, "POST", json.dumps(events).encode(), **({"aeg_event_type": "Notification"} | headers))


def seen_events(host: HostProcess) -> list[str]:
    return [entry["event"] for entry in host.seen() if "event" in entry]


def test_each_event_of_a_delivery_is_one_invocation(host: HostProcess) -> None:
    assert deliver(host, [event("a-1"), event("a-2")]).status == 202
    told = [entry for entry in host.seen() if entry.get("event") == "a-1"]
    assert told == [{"event": "a-1", "type": "Microsoft.Devices.DeviceCreated", "data": {"deviceId": "a"}}]
    assert "a-2" in seen_events(host)


def test_a_single_event_needs_no_array(host: HostProcess) -> None:
    assert deliver(host, event("single")).status == 202
    assert "single" in seen_events(host)


def test_one_failure_fails_the_delivery_and_the_others_still_run(host: HostProcess) -> None:
    assert deliver(host, [event("b-1", "fail"), event("b-2")]).status == 500
    assert "b-2" in seen_events(host)


def test_a_cloud_event_becomes_one(host: HostProcess) -> None:
    given = {"specversion": "1.0", "id": "c-1", "source": "/hubs/hub-a", "type": "t"}
    assert deliver(host, given, "cloud_event").status == 202
    assert {"cloud_event": "c-1", "source": "/hubs/hub-a"} in host.seen()


@pytest.mark.parametrize("given", [[{"data": {"validationCode": "v1"}}], {"data": '{"validationCode": "v1"}'}])
def test_the_handshake_is_answered_without_the_function(host: HostProcess, given: object) -> None:
    before = host.seen()
    answer = deliver(host, given, aeg_event_type="SubscriptionValidation")
    assert (answer.status, answer.json()) == (200, {"validationResponse": "v1"})
    assert host.seen() == before


def test_the_handshake_of_cloud_events_is_answered(host: HostProcess) -> None:
    path = "/runtime/webhooks/eventgrid?functionName=hub_event"
    answer = host.ask(path, "OPTIONS", WebHook_Request_Origin="eventgrid.azure.net")
    assert (answer.status, answer.header("WebHook-Allowed-Origin")) == (200, "eventgrid.azure.net")


@pytest.mark.parametrize("key", ["", "wrong", "function-key"])
def test_a_wrong_key_is_refused(host: HostProcess, key: str) -> None:
    path = f"/runtime/webhooks/eventgrid?functionName=hub_event&code={key}"
    body = json.dumps([event("refused")]).encode()
    assert host.ask(path, "POST", body, aeg_event_type="Notification").status == 401
    assert "refused" not in seen_events(host)


@pytest.mark.parametrize("function", ["none", "echo", ""])
def test_what_is_no_event_grid_function_is_not_found(host: HostProcess, function: str) -> None:
    assert deliver(host, [event("x")], function).status == 404


def test_an_unknown_kind_or_no_json_is_a_bad_request(host: HostProcess) -> None:
    assert deliver(host, [event("x")], aeg_event_type="Other").status == 400
    path = "/runtime/webhooks/eventgrid?functionName=hub_event&code=event-grid-key"
    assert host.ask(path, "POST", b"{", aeg_event_type="Notification").status == 400
    assert host.ask(path, "POST", b"", aeg_event_type="Unsubscribe").status == 202
