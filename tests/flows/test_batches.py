"""A factory sends a file: each row ends with its certificate or a reason, once, in the order of the file."""

import csv
import io
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core import batch as rules
from shared.core.batch import Format
from shared.core.errors import Conflict, Malformed, NotFound, TooLarge
from shared.core.fleet import BatchRow
from shared.core.ops import Command
from shared.flows.batch_run import WINDOW, whole
from tests.fakes.devices import Device
from tests.fakes.world import Fakes, fakes
from tests.flows.batching import BATCH, archive, csr_of, devices, lines, now, results, run, sent, wanted, work, zipped

pytestmark = pytest.mark.anyio


async def test_every_row_gets_its_certificate_in_the_order_of_the_file(world: Fakes) -> None:
    made = devices(25)
    found = await run(world, lines(*made))
    assert [(one["row"], one["device_id"], one["outcome"]) for one in found] == [
        (number, device.name, "issued") for number, device in enumerate(made, 1)
    ]
    assert len(world.ca.issued) == 25
    for number, (device, one) in enumerate(zip(made, found, strict=True), 1):
        known = world.ledger.read(device.id)
        assert known.device is not None
        assert known.device.latest == one["serial"]
        assert (known.certificates[0].source, known.certificates[0].batch) == ("batch", BatchRow(BATCH, number))
    batch = await now(world)
    assert (batch.state, batch.counts["issued"], batch.cursor.row) == ("done", 25, 25)


async def test_a_csv_file_and_a_zip_archive_lead_to_the_same(world: Fakes) -> None:
    made = devices(12)
    held = io.StringIO()
    csv.writer(held).writerows([("csr", "line", "device_id"), *((csr_of(one), "7", one.name) for one in made)])
    assert {one["outcome"] for one in await run(world, held.getvalue().encode(), "csv")} == {"issued"}
    again = await run(world, zipped(*made), "zip", "key-2")
    assert {one["outcome"] for one in again} == {"already issued"}
    batch = await world.batching.find(rules.batch_id("key-2"))
    assert (batch.rows, rules.share(batch)) == (12, 1.0)
    assert len(world.ca.issued) == 12


async def test_one_bad_row_is_refused_with_its_reason_and_the_others_are_not(world: Fakes) -> None:
    good, other = devices(2)
    content = b"".join(
        [
            lines(good),
            b"no json\n",
            json.dumps({"device_id": "dev-9", "csr": csr_of(other)}).encode() + b"\n",
            json.dumps({"device_id": "dev 9", "csr": csr_of(other)}).encode() + b"\n",
            json.dumps({"device_id": "dev-8", "csr": "AAAA"}).encode() + b"\n",
            lines(other),
            lines(good.with_new_key()),
        ]
    )
    found = await run(world, content)
    assert [one["outcome"] for one in found] == [
        "issued", "refused", "refused", "refused", "refused", "issued", "refused",
    ]  # fmt: skip
    reasons = [one.get("reason", "") for one in found]
    parts = ["", "no JSON object", "not the device", "device id must be", "cannot be read", "", "row 1 already"]
    for reason, part in zip(reasons, parts, strict=True):
        assert part in reason
    assert (await now(world)).counts == {"issued": 2, "already issued": 0, "pending": 0, "refused": 5}


@pytest.mark.parametrize("apart", [0, 25])
async def test_a_device_that_stands_in_a_file_again_gets_one_certificate(world: Fakes, apart: int) -> None:
    first = Device("dev-x")
    found = await run(world, lines(first, *devices(apart), first.with_new_key(), first, Device("DEV-X")))
    assert [one["outcome"] for one in found] == ["issued"] * (1 + apart) + ["refused"] * 3
    assert {one["reason"] for one in found[-3:]} == {
        "the device stands in row 1 already, and has its certificate by that"
    }
    assert len(world.ledger.read(first.id).certificates) == 1


async def test_a_row_that_came_to_nothing_leaves_its_device_to_the_next(world: Fakes) -> None:
    device = Device("dev-x")
    found = await run(world, json.dumps({"device_id": device.name, "csr": "AAAA"}).encode() + b"\n" + lines(device))
    assert [one["outcome"] for one in found] == ["refused", "issued"]


async def test_what_the_profile_does_not_grant_is_refused_and_costs_no_turn() -> None:
    world = fakes(unknown_devices="manifest")
    found = await run(world, lines(*devices(3)))
    assert {(one["outcome"], one["reason"]) for one in found} == {
        ("refused", "the device is not on the manifest of this label")
    }
    assert world.calls.count("pace.reserve") == 0


async def test_the_same_key_is_the_same_batch_and_another_file_under_it_is_refused(world: Fakes) -> None:
    content, other = lines(devices(1)[0]), lines(devices(2)[1])
    first = await sent(world, content)
    assert (await sent(world, content)).id == first.id
    with pytest.raises(Conflict, match="Idempotency-Key"):
        await sent(world, other)
    with pytest.raises(Conflict, match="Idempotency-Key"):
        await sent(world, b"")
    assert list(world.files.contents.values()) == [content]


async def test_two_files_that_come_at_once_under_one_key_do_not_spoil_each_other(world: Fakes) -> None:
    content, other = lines(*devices(2)), lines(Device("dev-x"))

    async def faster() -> None:
        del world.calls.meanwhile["files.write"]
        await sent(world, content)

    world.calls.meanwhile["files.write"] = faster
    with pytest.raises(Conflict, match="Idempotency-Key"):
        await sent(world, other)
    await work(world)
    assert [one["device_id"] for one in await results(world)] == ["dev-000", "dev-001"]


@pytest.mark.parametrize(
    ("form", "content", "text"),
    [
        ("csv", b"device,request\n", "each of these columns once: device_id, csr"),
        ("jsonl", "{}".encode("utf-16"), "UTF-16"),
        ("zip", b"{}", "no ZIP archive"),
    ],
)
async def test_a_file_that_is_not_what_it_says_is_refused_at_once(
    world: Fakes, form: Format, content: bytes, text: str
) -> None:
    with pytest.raises(Malformed, match=text):
        await sent(world, content, form)
    await sent(world, b"", form)
    with pytest.raises(Malformed, match=text):
        await world.batching.stage(BATCH, 1, content)
    assert not world.files.contents


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"PK\x03\x04half of it", "its end is missing"),
        (b"PK\x05\x06" + b"\0" * 18, "holds no files"),
        (archive({f"dev-{number}.pem": b"0" * 16_384 for number in range(70)}), "is over 1048576 bytes: split it"),
    ],
)
async def test_an_archive_that_cannot_be_read_fails_the_batch_with_the_reason(
    world: Fakes, content: bytes, text: str
) -> None:
    await sent(world, content, "zip")
    await work(world)
    after = await now(world)
    assert after.state == "failed"
    assert text in after.trouble


async def test_a_file_of_empty_lines_has_no_rows_and_comes_to_its_end(world: Fakes) -> None:
    assert await run(world, b"\n" * 700_000) == []
    assert (await now(world)).state == "done"


async def test_a_file_that_is_gone_fails_the_batch(world: Fakes) -> None:
    await sent(world, lines(*devices(2)))
    world.files.contents.clear()
    await work(world)
    assert ((await now(world)).state, (await now(world)).trouble) == ("failed", "there is no such file")


async def test_what_is_too_large_is_refused_with_the_limit(world: Fakes) -> None:
    with pytest.raises(TooLarge, match="1048576 bytes"):
        await sent(world, b"x" * (1024 * 1024 + 1))


async def test_what_is_not_there_is_told_so(world: Fakes) -> None:
    for call in (
        world.batching.find("b-x"),
        world.batching.results("b-x", 0, 1),
        world.batching.change("b-x", "pause", Command("k", "")),
        world.batching.stage("b-x", 1, b"x"),
    ):
        with pytest.raises(NotFound):
            await call
    assert await world.batch_run.go_on("b-x") is None
    batch = await sent(world, b"")
    assert [one async for one in world.batching.every(None)] == [batch]
    assert [one async for one in world.batching.every("running")] == []


async def test_the_pace_is_kept(world: Fakes) -> None:
    world.pace.per_minute = 60
    world.restart()
    began = world.clock()
    await run(world, lines(*devices(61)))
    assert timedelta(seconds=60) <= world.clock() - began < timedelta(seconds=75)


async def test_what_is_answered_already_costs_no_turn(world: Fakes) -> None:
    made = devices(20)
    await run(world, lines(*made))
    turns = world.calls.count("pace.reserve")
    assert {one["outcome"] for one in await run(world, lines(*made), key="key-2")} == {"already issued"}
    assert world.calls.count("pace.reserve") == turns


async def test_results_come_in_parts(world: Fakes) -> None:
    await run(world, lines(*devices(35)))
    whole, after, parts = b"", 0, 0
    while True:
        part, after = await world.batching.results(BATCH, after, 1)
        whole, parts = whole + part, parts + 1
        if not after:
            break
    assert [json.loads(line)["row"] for line in whole.splitlines()] == list(range(1, 36))
    assert parts == 4
    assert await world.batching.results(BATCH, 99, 1) == (b"", 0)


async def test_of_short_chunks_no_more_are_read_for_one_answer_than_there_is_time_for(world: Fakes) -> None:
    world.batching = replace(world.batching, chunk_rows=1)
    await sent(world, lines(Device("dev-x")) + b"no json\n" * 402)
    await work(world)
    parts, after = [], 0
    while True:
        reads = world.calls.count("files.read")
        part, after = await world.batching.results(BATCH, after, 10**9)
        parts.append((len(part.splitlines()), world.calls.count("files.read") - reads))
        if not after:
            break
    assert parts == [(200, 200), (200, 200), (3, 3)]


@pytest.mark.parametrize("size", [0, 1, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW])
async def test_results_of_any_length_are_read_whole_and_in_no_more_reads_than_it_takes(world: Fakes, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    world.files.contents["x"] = content[:size]
    assert await whole(world.files, "x") == content[:size]
    assert world.calls.count("files.read") == size // WINDOW + 1


async def test_the_batch_of_another_label_keeps_its_own_names(world: Fakes) -> None:
    batch = wanted(world)
    assert batch.input == f"{BATCH}/input.jsonl"
    assert (await sent(world, lines(Device("dev-1")))).input.startswith(f"{BATCH}/input-")
