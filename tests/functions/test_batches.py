"""`/api/batches` as the Functions worker sees it: a file comes in, is watched, steered and fetched."""

import asyncio
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from functions import batches
from shared.core import batch as rules
from shared.core.errors import Unavailable
from tests.fakes.clock import IdleLoop
from tests.flows.batching import csr_of, devices, lines
from tests.functions.births_api import BATCHES, Factory
from tests.functions.calling import REQUEST_ID, Message, handler
from tests.functions.ops_api import last, read


@pytest.fixture
def factory() -> Iterator[Factory]:
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        yield Factory(runner)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", logger="birthcert")
    return caplog


def results(factory: Factory, ident: str) -> list[dict[str, Any]]:
    content = factory.get(f"/api/batches/{ident}/results").get_body()
    return [json.loads(line) for line in content.splitlines()]


@pytest.mark.parametrize("media", ["application/jsonl", "application/x-ndjson; charset=utf-8", "Text/CSV"])
def test_a_file_is_taken_worked_off_and_fetched(
    factory: Factory, records: pytest.LogCaptureFixture, media: str
) -> None:
    made = devices(3)
    table = "device_id,csr\n" + "".join(f"{one.name},{csr_of(one)}\n" for one in made)
    content = table.encode() if "csv" in media.lower() else lines(*made)
    response = factory.upload(content, media, url=f"{BATCHES}&comment=lot%207")
    found = read(response)
    assert (response.status_code, response.headers["Location"]) == (202, f"/api/batches/{found['id']}")
    record = last(records)
    assert (record["operation"], record["batch"], record["bytes"]) == ("batches_create", found["id"], len(content))
    assert (record["comment"], record["key"], record["caller"]) == ("lot 7", "k1", "function key")
    assert (record["request_id"], record["status"]) == (REQUEST_ID, 202)
    factory.work()
    assert (last(records)["event"], last(records)["state"], last(records)["row"]) == ("batch", "done", 3)
    shown = read(factory.get(response.headers["Location"]))
    assert (shown["state"], shown["rows"], shown["share"], shown["outcomes"]["issued"]) == ("done", 3, 1.0, 3)
    assert [one["device_id"] for one in results(factory, found["id"])] == [one.name for one in made]


def test_the_results_are_a_zip_archive_too(factory: Factory) -> None:
    ident = read(factory.upload(lines(*devices(2))))["id"]
    factory.work()
    response = factory.get(f"/api/batches/{ident}/results?format=zip&code=x")
    assert response.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.get_body())) as archive:
        assert archive.namelist() == [
            "results.jsonl",
            "chain.pem",
            "certificates/0000001-dev-000.pem",
            "certificates/0000002-dev-001.pem",
        ]


@pytest.mark.parametrize("form", ["jsonl", "zip"])
def test_large_results_come_in_parts_that_lead_to_each_other(factory: Factory, form: str) -> None:
    ident = read(factory.upload(lines(*devices(25))))["id"]
    factory.work()
    url, parts = f"/api/batches/{ident}/results?format={form}", 0
    while url:
        response = factory.get(url)
        parts += 1
        link = dict(response.headers).get("Link", "")
        assert link == "" or link.endswith('>; rel="next"')
        url = link.removeprefix("<").removesuffix('>; rel="next"')
    assert parts == 3


def test_a_large_file_comes_in_blocks(factory: Factory, records: pytest.LogCaptureFixture) -> None:
    content = lines(*devices(4))
    response = factory.upload(b"")
    found = read(response)
    most = factory.world.batching.most_at_once
    assert (response.status_code, found["state"]) == (201, "uploading")
    assert found["upload"] == {"location": f"/api/batches/{found['id']}/blocks/{{number}}", "most_bytes": most}
    for number, block in ((2, content[500:]), (1, content[:500])):
        put = factory.send(
            "PUT",
            f"/api/batches/{found['id']}/blocks/{number}",
            block,
            {"Content-Type": "application/octet-stream"},
        )
        assert read(put) == {"batch": found["id"], "block": number, "bytes": len(block)}
    assert (last(records)["block"], last(records)["bytes"]) == (1, 500)
    begun = read(factory.post(f"/api/batches/{found['id']}/start", {"bytes": len(content)}))
    assert (begun["state"], begun["bytes"]) == ("running", len(content))
    assert "upload" not in begun
    factory.work()
    assert len(results(factory, found["id"])) == 4


def test_pause_resume_and_cancel(factory: Factory, records: pytest.LogCaptureFixture) -> None:
    ident = read(factory.upload(lines(*devices(2))))["id"]
    for key, deed, state in (("k1", "pause", "paused"), ("k2", "resume", "running"), ("k3", "cancel", "cancelled")):
        response = factory.post(f"/api/batches/{ident}/{deed}", {"comment": "as agreed"}, key=key)
        assert (response.status_code, read(response)["state"]) == (200, state)
        record = last(records)
        assert (record["operation"], record["state"], record["comment"]) == (f"batches_{deed}", state, "as agreed")


def test_batches_are_listed_the_newest_first_and_by_state(factory: Factory) -> None:
    idents = []
    for number, one in enumerate(devices(3)):
        factory.world.clock.forward(seconds=60)
        idents.append(read(factory.upload(lines(one), key=f"k{number}"))["id"])
    factory.post(f"/api/batches/{idents[1]}/pause")
    listed = read(factory.get("/api/batches"))
    assert ([one["id"] for one in listed["batches"]], listed["total"]) == (idents[::-1], 3)
    paused = read(factory.get("/api/batches?state=paused&code=x"))
    assert ([one["id"] for one in paused["batches"]], paused["total"]) == ([idents[1]], 1)


def test_the_same_request_again_is_the_same_batch(factory: Factory) -> None:
    content = lines(*devices(2))
    first = read(factory.upload(content))
    factory.work()
    again = factory.upload(content)
    assert (again.status_code, read(again)["id"], read(again)["state"]) == (202, first["id"], "done")


def test_who_has_signed_in_is_named(factory: Factory) -> None:
    factory.signs_in = True
    headers = {"Content-Type": "text/csv", "Idempotency-Key": "k", "x-ms-client-principal-name": "zoe@example.com"}
    assert read(factory.send("POST", BATCHES, b"", headers))["caller"] == "zoe@example.com (signed in)"


def test_what_holds_a_batch_up_is_in_the_log_by_how_much_it_matters(
    factory: Factory, records: pytest.LogCaptureFixture
) -> None:
    go_on = handler(batches.blueprint, factory.application, "batch")
    ident = read(factory.upload(lines(*devices(2))))["id"]
    message = Message(json.dumps({"batch": ident}))
    factory.world.calls.fail("upstream.issue", lambda: Unavailable("DigiCert ONE is away", retry_after=60), times=2)
    factory.run(go_on(message))
    assert (records.records[-1].levelname, last(records)["reason"]) == ("WARNING", "DigiCert ONE is away")
    factory.world.clock.forward(seconds=60)
    factory.world.files.contents.clear()
    factory.run(go_on(message))
    assert (records.records[-1].levelname, last(records)["state"]) == ("ERROR", "failed")
    factory.run(go_on(Message('{"batch": "b-gone"}')))
    assert (records.records[-1].levelname, last(records)) == ("INFO", {"event": "batch", "batch": "b-gone"})


def test_a_cause_is_in_the_log_and_not_in_the_answer(factory: Factory, records: pytest.LogCaptureFixture) -> None:
    ident = read(factory.upload(lines(*devices(2))))["id"]
    down = Unavailable("a service does not answer", retry_after=60, cause="10.0.0.1 refuses us")
    factory.world.calls.fail("upstream.issue", lambda: down, times=2)
    factory.run(handler(batches.blueprint, factory.application, "batch")(Message(json.dumps({"batch": ident}))))
    assert (last(records)["reason"], last(records)["cause"]) == ("a service does not answer", "10.0.0.1 refuses us")
    answer = factory.get(f"/api/batches/{ident}")
    assert read(answer)["trouble"] == "a service does not answer"
    assert b"10.0.0.1" not in answer.get_body()


def test_a_message_that_the_queue_gives_again_waits_for_the_end_of_a_hold(factory: Factory) -> None:
    go_on = handler(batches.blueprint, factory.application, "batch")
    ident = read(factory.upload(lines(*devices(2))))["id"]
    kept = factory.world.batches.rows[ident]
    factory.world.batches.rows[ident] = replace(kept, batch=rules.held(kept.batch, kept.batch.created))
    factory.world.work.messages.clear()
    for count, sent in ((1, 0), (None, 0), (2, 1)):
        factory.run(go_on(Message(json.dumps({"batch": ident}), count)))
        assert len(factory.world.work.messages) == sent


def test_the_timer_wakes_what_was_forgotten(factory: Factory, records: pytest.LogCaptureFixture) -> None:
    factory.upload(lines(*devices(2)))
    factory.world.work.messages.clear()
    factory.world.clock.forward(seconds=3_600)
    factory.run(handler(batches.blueprint, factory.application, "batch_wake")(None))
    assert last(records) == {"event": "batch_wake", "woken": 1}
    assert len(factory.world.work.of("batch")) == 1
