"""What `/api/batches` does not take, and how it says so."""

import asyncio
import json
from collections.abc import Iterator

import azure.functions as func
import pytest

from shared.core.errors import Unavailable
from tests.fakes.clock import IdleLoop
from tests.flows.batching import devices, lines
from tests.functions.births_api import BATCHES, JSON, LABEL, Factory
from tests.functions.calling import context
from tests.functions.ops_api import last, problem, read

CSV = {"Content-Type": "text/csv"}


@pytest.fixture
def factory() -> Iterator[Factory]:
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        yield Factory(runner)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", logger="birthcert")
    return caplog


@pytest.mark.parametrize(
    ("url", "headers", "body", "status", "says"),
    [
        (BATCHES, CSV, b"", 400, "Idempotency-Key"),
        (BATCHES, {**CSV, "Idempotency-Key": "a b"}, b"", 400, "Idempotency-Key"),
        (BATCHES, {**CSV, "Idempotency-Key": "k", "Transfer-Encoding": "chunked"}, b"", 400, "Content-Length"),
        (BATCHES, {**CSV, "Idempotency-Key": "k", "X-Caller": "a\x1b[31m"}, b"", 400, "caller"),
        (BATCHES, {"Content-Type": "text/plain", "Idempotency-Key": "k"}, b"x", 415, "text/csv or application/jsonl"),
        (BATCHES, {"Idempotency-Key": "k"}, b"x", 415, "application/zip"),
        (BATCHES, {**CSV, "Content-Encoding": "gzip", "Idempotency-Key": "k"}, b"x", 415, "content encoding"),
        (BATCHES, {**CSV, "Idempotency-Key": "k"}, b"id;csr\n", 400, "each of these columns once: device_id, csr"),
        (BATCHES, {**CSV, "Idempotency-Key": "k"}, "device_id,csr\n".encode("utf-16"), 400, "UTF-16"),
        ("/api/batches", {**CSV, "Idempotency-Key": "k"}, b"", 400, "label"),
        ("/api/batches?label=nowhere", {**CSV, "Idempotency-Key": "k"}, b"", 404, "no such label"),
        (f"{BATCHES}&lable=x", {**CSV, "Idempotency-Key": "k"}, b"", 400, "label and comment, and nothing else"),
        (f"{BATCHES}&comment=%1b", {**CSV, "Idempotency-Key": "k"}, b"", 400, "plain text"),
    ],
)
def test_a_batch_that_breaks_its_form_is_not_made(
    factory: Factory, *, url: str, headers: dict[str, str], body: bytes, status: int, says: str
) -> None:
    found = problem(factory.send("POST", url, body, headers))
    assert found[0] == status
    assert says in found[2]
    assert not factory.world.batches.rows
    assert not factory.world.files.contents


def test_a_body_that_is_too_large_is_told_to_come_in_blocks(factory: Factory) -> None:
    most = factory.world.batching.most_at_once
    status, kind, says = problem(factory.upload(b"x" * (most + 1)))
    assert (status, kind) == (413, "TooLarge")
    assert says == f"the body is over {most} bytes: send an empty one, and put the file in blocks of at most that"


def test_another_file_under_the_same_key_is_a_conflict(factory: Factory) -> None:
    first, other = (lines(one) for one in devices(2))
    assert factory.upload(first).status_code == 202
    assert problem(factory.upload(other))[:2] == (409, "Conflict")
    assert problem(factory.upload(b""))[:2] == (409, "Conflict")
    assert problem(factory.upload(first, "text/csv"))[0] in (400, 409)


@pytest.mark.parametrize("number", ["0", "x", "-1", "1.0", "\uff11", "9999999999", "99999"])
def test_a_block_has_a_number(factory: Factory, number: str) -> None:
    ident = read(factory.upload(b""))["id"]
    put = factory.send("PUT", f"/api/batches/{ident}/blocks/{number}", b"x", {"Content-Type": "application/zip"})
    assert problem(put)[0] == 400
    assert "number" in problem(put)[2]


def test_a_block_must_fit_and_have_a_batch_that_waits_for_it(factory: Factory) -> None:
    octets = {"Content-Type": "application/octet-stream"}
    assert problem(factory.send("PUT", "/api/batches/b-x/blocks/1", b"x", octets))[0] == 404
    ident = read(factory.upload(b""))["id"]
    path = f"/api/batches/{ident}/blocks/1"
    most = factory.world.batching.most_at_once
    for body in (b"", b"x" * (most + 1)):
        assert problem(factory.send("PUT", path, body, octets)) == (413, "TooLarge", f"a block has 1 to {most} bytes")
    assert problem(factory.send("PUT", path, b"x", JSON))[0] == 415
    assert "did not arrive" in problem(factory.send("PUT", path, b"", {**octets, "Transfer-Encoding": "chunked"}))[2]
    assert "UTF-16" in problem(factory.send("PUT", path, "{}".encode("utf-16"), octets))[2]
    factory.post(f"/api/batches/{ident}/cancel")
    assert problem(factory.send("PUT", path, b"x", octets))[0] == 409


@pytest.mark.parametrize("deed", ["start", "pause", "resume", "cancel"])
def test_a_deed_needs_its_form_and_a_batch_that_it_fits(factory: Factory, deed: str) -> None:
    assert problem(factory.post(f"/api/batches/b-x/{deed}"))[0] == 404
    ident = read(factory.upload(lines(*devices(1))))["id"]
    factory.work()
    path = f"/api/batches/{ident}/{deed}"
    assert problem(factory.post(path))[:2] == (409, "Conflict")
    assert "Idempotency-Key" in problem(factory.send("POST", path, b"{}", JSON))[2]
    key = {**JSON, "Idempotency-Key": "k"}
    assert problem(factory.send("POST", path, b"{}", {"Idempotency-Key": "k"}))[0] == 415
    assert problem(factory.send("POST", path, b"", {**key, "Transfer-Encoding": "chunked"}))[0] == 400
    for body in (b"", b"[]", b'{"Comment": ""}', b'{"comment": "a\\nb"}', b'{"bytes": 0}'):
        assert problem(factory.send("POST", path, body, key))[0] == 400
    assert problem(factory.send("POST", path, b" " * 16_385, key))[0] == 413


def test_an_upload_that_is_not_whole_is_not_started(factory: Factory) -> None:
    ident = read(factory.upload(b""))["id"]
    start = f"/api/batches/{ident}/start"
    assert "no file yet" in problem(factory.post(start))[2]
    octets = {"Content-Type": "application/octet-stream"}
    factory.send("PUT", f"/api/batches/{ident}/blocks/3", b"x", octets)
    assert problem(factory.post(start))[2] == "blocks are missing: there are 1, and the last is number 3"
    factory.send("PUT", f"/api/batches/{ident}/blocks/1", b"x", octets)
    factory.send("PUT", f"/api/batches/{ident}/blocks/2", b"x", octets)
    assert (
        problem(factory.post(start, {"bytes": 9}, key="k9"))[2] == "the blocks hold 3 bytes, and the file should have 9"
    )
    assert factory.post(start, {"bytes": 3}, key="k2").status_code == 200
    assert problem(factory.post(start, {"bytes": 4}, key="k2"))[0] == 409


@pytest.mark.parametrize("query", ["after=x", "after=-1", "after=9999999999", "format=tar", "format=", "limit=3"])
def test_a_query_that_means_nothing_is_refused(factory: Factory, query: str) -> None:
    ident = read(factory.upload(lines(*devices(1))))["id"]
    assert problem(factory.get(f"/api/batches/{ident}/results?{query}&x=1"))[0] == 400
    assert problem(factory.get(f"/api/batches?{query}"))[0] == 400
    assert problem(factory.get("/api/batches?state=sleeping"))[0] == 400


def test_what_is_not_there_is_not_found(factory: Factory) -> None:
    for path in ("/api/batches/b-x", "/api/batches/b-x/results", "/api/batches/b-x/results?format=zip"):
        assert problem(factory.get(path))[:2] == (404, "NotFound")


def test_a_store_that_is_down_says_when_to_come_again(factory: Factory, records: pytest.LogCaptureFixture) -> None:
    down = Unavailable("no answer", retry_after=7, cause="blobs: refused by 10.0.0.1")
    factory.world.calls.fail("files.write", lambda: down)
    response = factory.upload(lines(*devices(1)))
    assert problem(response) == (503, "Unavailable", "no answer")
    assert response.headers["Retry-After"] == "7"
    assert last(records)["cause"] == "blobs: refused by 10.0.0.1"
    assert factory.upload(lines(*devices(1))).status_code == 202


def test_nothing_that_a_caller_typed_makes_a_line_of_its_own(
    factory: Factory, records: pytest.LogCaptureFixture
) -> None:
    factory.send("POST", f"{BATCHES}&a%0a{{}}=1", b"", {**CSV, "Idempotency-Key": 'k"}', "X-Caller": "“Zoë”"})
    request = func.HttpRequest(
        "GET", "https://app/api/batches/x", route_params={"id": 'x\n{"event": "forged"}'}, params={}, body=b""
    )
    factory.run(factory.routes["GET", "/api/batches/{id}"](request, context()))
    factory.upload(f'{{"device_id": "x\\n{LABEL}", "csr": "x"}}'.encode())
    factory.work()
    texts = [record.getMessage() for record in records.records]
    assert len(texts) == 4
    assert all(text.isascii() and "\n" not in text and json.loads(text)["event"] in ("ops", "batch") for text in texts)
