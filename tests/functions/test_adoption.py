"""Import and queue of adoption as the Functions worker sees them: what is sent, taken, answered and recorded."""

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

import azure.functions as func
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from functions import adoption, allocation
from shared.core import table_rows
from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from tests.fakes.clock import Clock
from tests.fakes.devices import Device
from tests.fakes.world import HUB_HOSTS, PROFILE, Fakes
from tests.functions.calling import REQUEST_ID, Message, context, handler
from tests.functions.ops_api import DOCUMENT, check, last, problem, read

PEM = "application/x-pem-file"
JSON_LINES = "application/jsonl"
PATH = "/api/certificates/import"
HUB = "hub-a"


@pytest.fixture
def world() -> Fakes:
    return Fakes(clock=Clock(seconds=lambda: 0))


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", logger="birthcert")
    return caplog


def issued(world: Fakes, *names: str) -> list[x509.Certificate]:
    """By another protocol."""
    return [world.ca.issue(Device(name).request()) for name in names]


def bundle(leaves: list[x509.Certificate]) -> bytes:
    return b"".join(leaf.public_bytes(Encoding.PEM) for leaf in leaves)


def lines(*certificates: object) -> bytes:
    return "\n".join(json.dumps({"certificate": one}) for one in certificates).encode()


def send(
    world: Fakes, body: bytes, media: str = PEM, label: str = PROFILE.label, **more: Mapping[str, str]
) -> func.HttpResponse:
    """Each answer is held against the OpenAPI document. `more` are `headers` and `params`."""
    request = func.HttpRequest(
        "POST",
        f"https://app{PATH}",
        headers={"Content-Type": media, "X-Caller": "factory 7", **more.get("headers", {})},
        params={"label": label, **more.get("params", {})},
        body=body,
    )
    serve = handler(adoption.blueprint, world.application, "certificates_import")
    response: func.HttpResponse = asyncio.run(serve(request, context()))
    check(response, DOCUMENT["paths"][PATH]["post"])
    return response


def outcomes(response: func.HttpResponse) -> list[tuple[int, str, str]]:
    return [(row["row"], row["device_id"], row["outcome"]) for row in read(response)["rows"]]


@pytest.mark.parametrize("media", [PEM, "application/pem-certificate-chain", f"{PEM}; charset=us-ascii"])
def test_a_bundle_in_pem_is_taken_in(world: Fakes, records: pytest.LogCaptureFixture, media: str) -> None:
    leaves = issued(world, "dev-1", "dev-2", "dev-3")
    response = send(world, b"# the factory's list\n" + bundle(leaves), media)
    assert response.status_code == 200
    assert outcomes(response) == [(number, f"dev-{number}", "adopted") for number in (1, 2, 3)]
    assert read(response)["outcomes"] == {"adopted": 3}
    assert [row["serial"] for row in read(response)["rows"]] == [f"{leaf.serial_number:x}" for leaf in leaves]
    told = {"operation": "certificates_import", "caller": "factory 7 (function key)", "rows": 3, "status": 200}
    assert told.items() <= last(records).items()
    assert world.ledger.read(DeviceId("dev-2")).device is not None


@pytest.mark.parametrize("media", [JSON_LINES, "application/x-ndjson"])
def test_bad_rows_cost_themselves_alone(world: Fakes, records: pytest.LogCaptureFixture, media: str) -> None:
    first, second = (bundle([leaf]).decode() for leaf in issued(world, "dev-1", "dev-2"))
    response = send(world, lines(first, "no certificate", first + second, second, 7, first), media)
    assert [outcome for _, _, outcome in outcomes(response)][1:5] == ["refused", "refused", "adopted", "refused"]
    assert sorted(outcomes(response)[at][2] for at in (0, 5)) == ["adopted", "known"]
    assert [row for row, _, _ in outcomes(response)] == [1, 2, 3, 4, 5, 6]
    assert "one certificate in PEM" in read(response)["rows"][1]["reason"]
    assert last(records)["refused"] == 3


def test_the_same_file_again_changes_nothing(world: Fakes) -> None:
    content = bundle(issued(world, "dev-1"))
    send(world, content)
    before = world.ledger.read(DeviceId("dev-1"))
    assert outcomes(send(world, content)) == [(1, "dev-1", "known")]
    assert world.ledger.read(DeviceId("dev-1")) == before


def test_a_file_of_5000_is_taken_and_one_more_is_told_to_come_in_parts(world: Fakes) -> None:
    content = bundle(issued(world, "dev-1"))
    response = send(world, content * table_rows.MAX_ROWS)
    assert len(read(response)["rows"]) == table_rows.MAX_ROWS
    assert read(response)["outcomes"]["known"] >= table_rows.MAX_ROWS - 16, "those that come at once race"
    for body, media in ((content * (table_rows.MAX_ROWS + 1), PEM), (b"[]\n" * (table_rows.MAX_ROWS + 1), JSON_LINES)):
        status, kind, detail = problem(send(world, body, media))
        assert (status, kind) == (413, "TooLarge")
        assert "send it in parts" in detail


@pytest.mark.parametrize(
    ("body", "media", "status", "words"),
    [
        (b"x", "text/plain", 415, "application/jsonl"),
        (b"x", "", 415, "application/jsonl"),
        (b"", PEM, 400, "no PEM certificate"),
        (b"-----BEGIN PRIVATE KEY-----", PEM, 400, "no PEM certificate"),
        (b"\xff\xfe{", JSON_LINES, 400, "UTF-"),
    ],
)
def test_a_body_that_breaks_its_form_is_refused_whole(
    world: Fakes, body: bytes, media: str, status: int, words: str
) -> None:
    got, _, detail = problem(send(world, body, media))
    assert (got, words in detail) == (status, True), detail


def test_it_takes_a_label_that_there_is(world: Fakes) -> None:
    content = bundle(issued(world, "dev-1"))
    assert problem(send(world, content, label=""))[0] == 400
    assert problem(send(world, content, label="nowhere"))[0] == 404
    assert problem(send(world, content, params={"lable": "x"}))[0] == 400
    assert world.calls.count("ledger.adopt") == 0


def test_an_encoded_body_is_not_read(world: Fakes) -> None:
    assert send(world, b"x", headers={"Content-Encoding": "gzip"}).status_code == 415


def test_a_body_that_did_not_arrive_is_told_so(world: Fakes) -> None:
    status, _, detail = problem(send(world, b"", headers={"transfer-encoding": "chunked"}))
    assert (status, "Content-Length" in detail) == (400, True)


def test_a_store_that_is_down_makes_the_caller_come_again(world: Fakes) -> None:
    world.calls.fail("ledger.adopt", lambda: Unavailable("no", retry_after=7))
    response = send(world, bundle(issued(world, "dev-1")))
    assert problem(response)[0] == 503
    assert response.headers["Retry-After"] == "7"
    assert outcomes(send(world, bundle(issued(world, "dev-1"))))[0][2] == "adopted"


# The queue.


def hand_out(world: Fakes, message: Mapping[str, Any]) -> None:
    asyncio.run(handler(adoption.blueprint, world.application, "adopt")(Message(json.dumps(message))))


def message(leaf: x509.Certificate, **changes: str) -> dict[str, str]:
    """As adapters/queues.py writes it."""
    shown = leaf.fingerprint(hashes.SHA256()).hex()
    return {"label": "", "commonName": "dev-1", "thumbprint": shown, "hub": "", "certificate": "", **changes}


def test_what_a_hub_has_shown_is_taken_in_and_recorded(world: Fakes, records: pytest.LogCaptureFixture) -> None:
    (leaf,) = issued(world, "dev-1")
    world.hubs.put(HUB, DeviceId("dev-1"), leaf.fingerprint(hashes.SHA256()).hex())
    hand_out(world, message(leaf, hub=HUB))
    known = world.ledger.read(DeviceId("dev-1")).device
    assert known is not None
    assert (known.hub, known.current) == (HUB, f"{leaf.serial_number:x}")
    told = {"event": "adopt", "device_id": "dev-1", "hub": HUB, "outcome": "adopted", "serial": known.current}
    assert told.items() <= last(records).items()


def test_what_dps_has_shown_whole_is_taken_in(world: Fakes, records: pytest.LogCaptureFixture) -> None:
    (leaf,) = issued(world, "dev-1")
    world.ca.issued.clear()
    der = base64.b64encode(leaf.public_bytes(Encoding.DER)).decode()
    hand_out(world, message(leaf, label=PROFILE.label, certificate=der))
    assert last(records)["outcome"] == "adopted"
    hand_out(world, message(leaf, certificate=der))
    assert last(records)["outcome"] == "known"


def test_what_is_none_of_ours_is_done_with_and_recorded(world: Fakes, records: pytest.LogCaptureFixture) -> None:
    (leaf,) = issued(world, "dev-1")
    world.ca.issued.clear()
    hand_out(world, message(leaf))
    assert (last(records)["outcome"], last(records)["reason"]) == (
        "not taken",
        "DigiCert ONE lists no such certificate",
    )
    assert world.ledger.read(DeviceId("dev-1")).device is None


@pytest.mark.parametrize("call", ["inventory.named", "ledger.adopt", "hubs.identity"])
def test_what_cannot_be_found_out_now_comes_again(world: Fakes, call: str) -> None:
    """A handler that raises gives the message back to the queue."""
    (leaf,) = issued(world, "dev-1")
    world.calls.fail(call, lambda: Unavailable("no", retry_after=5))
    with pytest.raises(Unavailable):
        hand_out(world, message(leaf, hub=HUB))
    hand_out(world, message(leaf, hub=HUB))
    assert world.ledger.read(DeviceId("dev-1")).device is not None


def test_a_message_of_another_form_is_no_certificate(world: Fakes) -> None:
    (leaf,) = issued(world, "dev-1")
    with pytest.raises(ValueError, match="base64"):
        hand_out(world, message(leaf, certificate="no base64!"))


# The webhook of DPS, which hears of it first.


def ask(world: Fakes, leaf: x509.Certificate) -> func.HttpResponse:
    pem = leaf.public_bytes(Encoding.PEM).decode()
    question = {
        "enrollmentGroup": {"enrollmentGroupId": "birthcert"},
        "deviceRuntimeContext": {
            "registrationId": "dev-1",
            "x509": {"clientCertificates": {"primary": {"certificate": pem}}},
        },
        "linkedHubs": list(HUB_HOSTS.values()),
    }
    request = func.HttpRequest("POST", "https://app/api/allocation", body=json.dumps(question).encode())
    response: func.HttpResponse = asyncio.run(
        handler(allocation.blueprint, world.application, "allocation")(request, context())
    )
    return response


def test_dps_has_its_answer_and_the_record_tells_of_the_certificate(
    world: Fakes, records: pytest.LogCaptureFixture
) -> None:
    (leaf,) = issued(world, "dev-1")
    assert set(read(ask(world, leaf))) == {"iotHubHostName", "initialTwin"}
    assert (last(records)["adoption"], records.records[-1].levelname) == ("Queued", "INFO")
    (kept,) = world.work.take("adopt")
    assert kept.seen is not None
    assert kept.seen.certificate == leaf.public_bytes(Encoding.DER)


def test_a_queue_that_is_down_is_a_warning_and_no_refusal(world: Fakes, records: pytest.LogCaptureFixture) -> None:
    (leaf,) = issued(world, "dev-1")
    world.calls.fail("work.adopt", lambda: Unavailable("no", retry_after=5, cause="queue adopt: 503"))
    assert ask(world, leaf).status_code == 200
    told = {"adoption": "NotQueued", "cause": "queue adopt: 503", "request_id": REQUEST_ID}
    assert told.items() <= last(records).items()
    assert records.records[-1].levelname == "WARNING"
