"""host.json, app settings, keys and queue messages of the function host."""

import base64
import json
from datetime import UTC, datetime

import pytest

from sandbox.host import host_json, keys, queue_messages, settings
from sandbox.host.index import Datum, Function

IDENTITY = {"IDENTITY_ENDPOINT": "https://localhost/msi/token"}


def test_host_json_has_the_defaults_of_the_real_host() -> None:
    options = host_json.parse({"version": "2.0"})
    assert (options.route_prefix, options.function_timeout) == ("api", 1800)
    assert options.queues == host_json.Queues(16, 8, 5, 0, 60, base64=True)


def test_app_settings_go_before_host_json() -> None:
    root = {"version": "2.0", "extensions": {"queues": {"maxPollingInterval": "00:00:05", "batchSize": 4}}}
    setting = {"AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:01", "OTHER": "1"}
    queues = host_json.parse(host_json.overridden(root, setting)).queues
    assert (queues.max_polling_interval, queues.batch_size) == (1, 4)
    fresh = host_json.overridden({"version": "2.0"}, {"AzureFunctionsJobHost__functionTimeout": "00:01:00"})
    assert host_json.parse(fresh).function_timeout == 60
    with pytest.raises(host_json.HostJsonError, match="unknown"):
        host_json.parse(host_json.overridden({"version": "2.0"}, {"AzureFunctionsJobHost__functionTimeOut": "1"}))


def test_host_json_is_read() -> None:
    queues = {"batchSize": 4, "maxDequeueCount": 3, "visibilityTimeout": "00:00:30", "messageEncoding": "none"}
    extensions = {"http": {"routePrefix": ""}, "queues": queues, "eventHubs": {"maxEventBatchSize": 9}}
    options = host_json.parse({"version": "2.0", "functionTimeout": "-1", "extensions": extensions})
    assert (options.route_prefix, options.function_timeout) == ("", None)
    assert options.queues == host_json.Queues(4, 2, 3, 30, 60, base64=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"version": "2.0", "functionTimeOut": "00:05:00"},
        {"version": "2.0", "functionTimeout": "5 minutes"},
        {"version": "2.0", "extensions": {"queues": {"batchsize": 1}}},
        {"version": "2.0", "extensions": {"queues": {"batchSize": 33}}},
        {"version": "2.0", "extensions": {"queues": {"messageEncoding": "utf-8"}}},
        {"version": "2.0", "extensions": {"http": {"prefix": ""}}},
    ],
)
def test_a_mistake_in_host_json_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(host_json.HostJsonError):
        host_json.parse(wrong)


@pytest.mark.parametrize(
    ("span", "seconds"), [("00:00:00.25", 0.25), ("1.02:03:04", 93784), ("00:05", 300), ("23:59:59", 86399)]
)
def test_time_spans(span: str, seconds: float) -> None:
    assert host_json.seconds(span) == seconds


@pytest.mark.parametrize("span", ["24:00:00", "00:60:00", "5", "", "-00:00:01", 5])
def test_what_is_no_time_span(span: object) -> None:
    with pytest.raises(host_json.HostJsonError):
        host_json.seconds(span)


def test_percent_signs_name_app_settings_in_triggers_and_outputs() -> None:
    function = Function("f", "id", {"type": "queueTrigger", "queueName": "%Q%-x"}, {"o": {"queueName": "%Q%", "n": 1}})
    resolved = settings.resolved(function, {"Q": "work"})
    assert resolved.trigger["queueName"] == "work-x"
    assert resolved.outputs["o"] == {"queueName": "work", "n": 1}
    with pytest.raises(settings.SettingsError, match="f wants the app setting Q"):
        settings.resolved(function, {})


@pytest.mark.parametrize(
    ("connection", "given", "service"),
    [
        ("STORAGE", {"STORAGE__queueServiceUri": "https://q"}, settings.QueueService("https://q", None)),
        ("X", {"AzureWebJobsX__queueServiceUri": "https://q"}, settings.QueueService("https://q", None)),
        (
            "",
            {"AzureWebJobsStorage__accountName": "acc", "AzureWebJobsStorage__clientId": "c"},
            settings.QueueService("https://acc.queue.core.windows.net", "c"),
        ),
    ],
)
def test_a_connection_leads_to_a_queue_service(
    connection: str, given: dict[str, str], service: settings.QueueService
) -> None:
    assert settings.queue_service(connection, IDENTITY | given) == service


def test_a_connection_string_is_no_connection() -> None:
    with pytest.raises(settings.SettingsError, match="STORAGE__queueServiceUri"):
        settings.queue_service("STORAGE", IDENTITY | {"STORAGE": "UseDevelopmentStorage=true"})


def test_keys_never_show() -> None:
    line = json.dumps({"function_key": "canary-a", "master_key": "canary-b", "event_grid_key": "canary-c"})
    given = keys.from_line(line)
    assert "canary" not in f"{given} {given!r}"
    assert given.open("event_grid", "canary-c")
    assert not given.open("event_grid", "canary-a")
    assert not given.open("function", "ünicode")
    with pytest.raises(keys.KeysError, match="authLevel"):
        given.open("system", "canary-b")


def test_a_function_key_opens_its_function_and_no_other() -> None:
    three = {"function_key": "host", "master_key": "master", "event_grid_key": "events"}
    given = keys.from_line(json.dumps(three | {"own_keys": {"allocation": "own"}}))
    for right in ("own", "host", "master"):
        assert given.open("function", right, "allocation")
    assert not given.open("function", "own", "ops_sagas")
    assert not given.open("function", "own")
    assert not given.open("admin", "own", "allocation")
    assert not given.open("function", "events", "allocation")
    assert "own" not in repr(given)
    with pytest.raises(keys.KeysError):
        keys.from_line(json.dumps(three | {"own_keys": {"allocation": ""}}))


@pytest.mark.parametrize("body", ["text", "é", ""])
@pytest.mark.parametrize("in_base64", [True, False])
def test_a_message_survives_the_wire(body: str, *, in_base64: bool) -> None:
    wire = queue_messages.encoded(body, base64=in_base64)
    assert wire == (base64.b64encode(body.encode()).decode() if in_base64 else body)
    datum = queue_messages.decoded(wire, base64=in_base64)
    assert (datum.type, datum.value) == ("string", body)


def test_bytes_that_are_no_text_stay_bytes() -> None:
    datum = queue_messages.decoded(queue_messages.encoded(b"\xff", base64=True), base64=True)
    assert (datum.type, datum.value) == ("bytes", b"\xff")


def test_an_output_may_hold_one_message_or_many() -> None:
    assert queue_messages.bodies(Datum("a", "string")) == ["a"]
    assert queue_messages.bodies(Datum(b"a", "bytes")) == [b"a"]
    assert queue_messages.bodies(Datum('["a", "b"]', "json")) == ["a", "b"]
    with pytest.raises(ValueError, match="queue output"):
        queue_messages.bodies(Datum('{"id": null, "body": "a"}', "json"))


def test_metadata_is_written_as_the_worker_reads_it() -> None:
    told = queue_messages.made_up_metadata("id-1", datetime(2026, 1, 1, tzinfo=UTC))
    assert (told["Id"].type, told["Id"].value) == ("string", "id-1")
    assert (told["DequeueCount"].type, told["DequeueCount"].value) == ("json", "1")
    assert told["InsertionTime"].value == '"2026-01-01T00:00:00+00:00"'
