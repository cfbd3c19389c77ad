"""A factory sends a file: each row ends with its certificate or a reason, once, whatever happens on the way."""

import asyncio
import base64
import csv
import io
import json
import zipfile
from datetime import timedelta
from typing import Any

import pytest

from shared.core import batch as rules
from shared.core.batch import Batch, Format
from shared.core.errors import Conflict, Malformed, NotFound, Throttled, TooLarge, Unavailable, UpstreamRefused
from shared.core.fleet import Claim
from shared.core.fleet import Device as FleetDevice
from shared.core.policy import claim_key
from tests.fakes.calls import Crash, Moment
from tests.fakes.devices import Device
from tests.fakes.world import PROFILE, Fakes, fakes

pytestmark = pytest.mark.anyio

CALLER = "factory-7 (function key)"


def wanted(world: Fakes, form: Format = "jsonl", key: str = "key-1") -> Batch:
    return Batch(rules.batch_id(key), PROFILE.label, form, "uploading", CALLER, "", created=world.clock())


def csr_of(device: Device) -> str:
    return base64.b64encode(device.request().der).decode()


def devices(count: int) -> list[Device]:
    return [Device(f"dev-{number:03d}") for number in range(count)]


def lines(*made: Device) -> bytes:
    return b"".join(json.dumps({"device_id": one.name, "csr": csr_of(one)}).encode() + b"\n" for one in made)


async def work(world: Fakes) -> None:
    """The queue, until it is empty: a message that fails comes again."""
    while messages := world.work.take("batch"):
        for message in messages:
            await asyncio.sleep(message.delay)
            while True:
                try:
                    await world.batching.advance(message.batch)
                except (Unavailable, Crash):
                    world.restart()
                    continue
                break


async def results(world: Fakes, ident: str) -> list[dict[str, Any]]:
    content, following = await world.batching.results(ident, 0, 10**9)
    assert not following
    return [json.loads(line) for line in content.splitlines()]


async def run(world: Fakes, content: bytes, form: Format = "jsonl") -> list[dict[str, Any]]:
    made = await world.batching.create(wanted(world, form), content)
    await work(world)
    return await results(world, made.id)


async def test_every_row_gets_its_certificate_in_the_order_of_the_file(world: Fakes) -> None:
    made = devices(25)
    found = await run(world, lines(*made))
    assert [(one["row"], one["device_id"], one["outcome"]) for one in found] == [
        (number, device.name, "issued") for number, device in enumerate(made, 1)
    ]
    assert len(world.ca.issued) == 25
    for device, one in zip(made, found, strict=True):
        known = world.ledger.read(device.id)
        assert known.device is not None
        assert known.device.latest == one["serial"]
        assert (known.certificates[0].source, known.certificates[0].batch) == ("batch", rules.batch_id("key-1"))
    batch = await world.batching.find(rules.batch_id("key-1"))
    assert (batch.state, batch.counts["issued"], batch.cursor.row) == ("done", 25, 25)


async def test_a_csv_file_and_a_zip_archive_lead_to_the_same(world: Fakes) -> None:
    made = devices(12)
    held = io.StringIO()
    csv.writer(held).writerows([("csr", "line", "device_id"), *((csr_of(one), "7", one.name) for one in made)])
    assert {one["outcome"] for one in await run(world, held.getvalue().encode(), "csv")} == {"issued"}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for one in made:
            file.writestr(f"{one.name}.der", one.request().der)
    again = await world.batching.create(wanted(world, "zip", "key-2"), archive.getvalue())
    await work(world)
    assert {one["outcome"] for one in await results(world, again.id)} == {"already issued"}
    assert (await world.batching.find(again.id)).rows == 12
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
    for reason, part in zip(
        reasons,
        ["", "no JSON object", "not the device", "device id must be", "cannot be read", "", "row 1 already"],
        strict=True,
    ):
        assert part in reason


async def test_a_device_that_comes_twice_in_a_file_gets_one_certificate(world: Fakes) -> None:
    first = Device("dev-x")
    found = await run(world, lines(*devices(15), first) + lines(first.with_new_key(), first))
    assert [one["outcome"] for one in found[15:]] == ["issued", "refused", "refused"]
    assert len(world.ledger.read(first.id).certificates) == 1


async def test_a_device_far_apart_in_the_file_gets_one_certificate_too(world: Fakes) -> None:
    first = Device("dev-x")
    found = await run(world, lines(first, *devices(25), first.with_new_key()))
    assert (found[0]["outcome"], found[-1]["outcome"]) == ("issued", "refused")
    assert "already led to a certificate" in found[-1]["reason"]


async def test_the_same_key_is_the_same_batch_and_another_file_under_it_is_refused(world: Fakes) -> None:
    made = devices(3)
    first = await world.batching.create(wanted(world), lines(made[0]))
    again = await world.batching.create(wanted(world), world.files.blobs[first.input])
    assert again.id == first.id
    with pytest.raises(Conflict, match="Idempotency-Key"):
        await world.batching.create(wanted(world), lines(made[1]))
    assert world.files.blobs[first.input].count(b"\n") == 1


async def test_paused_means_that_no_further_row_is_asked_for_and_resumed_that_none_is_lost(world: Fakes) -> None:
    made = devices(30)
    batch = await world.batching.create(wanted(world), lines(*made))
    await world.batching.advance(batch.id)
    assert (await world.batching.change(batch.id, "pause")).state == "paused"
    await work(world)
    assert len(world.ca.issued) == 10
    assert (await world.batching.change(batch.id, "resume")).state == "running"
    await work(world)
    assert (await world.batching.find(batch.id)).state == "done"
    assert len(world.ca.issued) == 30


async def test_a_cancelled_batch_keeps_the_results_it_has(world: Fakes) -> None:
    batch = await world.batching.create(wanted(world), lines(*devices(30)))
    await world.batching.advance(batch.id)
    await world.batching.change(batch.id, "cancel")
    await work(world)
    assert len(await results(world, batch.id)) == len(world.ca.issued) == 10
    with pytest.raises(Conflict, match="cancelled"):
        await world.batching.change(batch.id, "resume")


async def test_paused_while_a_chunk_is_under_way_the_chunk_is_done_again_and_nothing_twice(world: Fakes) -> None:
    batch = await world.batching.create(wanted(world), lines(*devices(20)))

    async def pause() -> None:
        del world.calls.meanwhile["files.write"]
        await world.batching.change(batch.id, "pause")

    world.calls.meanwhile["files.write"] = pause
    await work(world)
    assert (await world.batching.find(batch.id)).state == "paused"
    await world.batching.change(batch.id, "resume")
    await work(world)
    assert {one["outcome"] for one in await results(world, batch.id)} == {"issued"}
    assert len(world.ca.issued) == 20


async def test_a_large_file_comes_in_blocks_in_any_order(world: Fakes) -> None:
    content = lines(*devices(12))
    batch = await world.batching.create(wanted(world), b"")
    assert batch.state == "uploading"
    with pytest.raises(Conflict, match="no file yet"):
        await world.batching.change(batch.id, "start")
    await world.batching.stage(batch.id, 2, content[1000:])
    with pytest.raises(Conflict, match="blocks are missing"):
        await world.batching.change(batch.id, "start")
    await world.batching.stage(batch.id, 1, content[:1000])
    assert (await world.batching.change(batch.id, "start")).state == "running"
    await work(world)
    assert len(world.ca.issued) == 12
    with pytest.raises(Conflict, match="nothing can be added"):
        await world.batching.stage(batch.id, 3, b"x")


async def test_what_is_too_large_is_refused_with_the_limit(world: Fakes) -> None:
    with pytest.raises(TooLarge, match="1048576 bytes"):
        await world.batching.create(wanted(world), b"x" * (1024 * 1024 + 1))
    batch = await world.batching.create(wanted(world), b"")
    for content in (b"", b"x" * (64 * 1024 + 1)):
        with pytest.raises(TooLarge, match="1 to 65536"):
            await world.batching.stage(batch.id, 1, content)
    with pytest.raises(Malformed, match="numbered from 1"):
        await world.batching.stage(batch.id, 0, b"x")
    for number in range(1, 18):
        await world.batching.stage(batch.id, number, b"x" * 64 * 1024)
    with pytest.raises(TooLarge, match="1048576 bytes"):
        await world.batching.change(batch.id, "start")


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
        await world.batching.create(wanted(world, form), content)
    assert not world.files.blobs


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"PK\x03\x04half of it", "its end is missing"), (b"PK\x05\x06" + b"\0" * 18, "holds no files")],
)
async def test_an_archive_that_cannot_be_read_fails_the_batch_with_the_reason(
    world: Fakes, content: bytes, text: str
) -> None:
    batch = await world.batching.create(wanted(world, "zip"), content)
    await work(world)
    after = await world.batching.find(batch.id)
    assert after.state == "failed"
    assert text in after.trouble


async def test_what_is_not_there_is_told_so(world: Fakes) -> None:
    for call in (
        world.batching.find("b-x"),
        world.batching.results("b-x", 0, 1),
        world.batching.change("b-x", "pause"),
    ):
        with pytest.raises(NotFound):
            await call
    assert await world.batching.advance("b-x") is None
    batch = await world.batching.create(wanted(world), b"")
    assert [one async for one in world.batching.every()] == [batch]


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
    again = await world.batching.create(wanted(world, key="key-2"), lines(*made))
    await work(world)
    assert {one["outcome"] for one in await results(world, again.id)} == {"already issued"}
    assert world.calls.count("pace.reserve") == turns


async def test_an_outage_is_waited_for_and_no_row_is_lost(world: Fakes) -> None:
    world.calls.fail("upstream.issue", lambda: Throttled("slow down", retry_after=30), times=100)
    found = await run(world, lines(*devices(20)))
    assert {one["outcome"] for one in found} == {"issued"}
    assert len(world.ca.issued) == 20


async def test_while_it_waits_the_batch_says_for_what(world: Fakes) -> None:
    world.calls.fail("upstream.issue", lambda: Unavailable("DigiCert ONE does not answer", retry_after=7), times=10)
    batch = await world.batching.create(wanted(world), lines(*devices(3)))
    await world.batching.advance(batch.id)
    after = await world.batching.find(batch.id)
    assert (after.state, after.trouble, after.tries) == ("running", "DigiCert ONE does not answer", 1)
    assert max(message.delay for message in world.work.messages) == 7


async def test_one_row_that_cannot_be_decided_does_not_hold_up_the_file_for_ever(world: Fakes) -> None:
    made = devices(3)
    batch = await world.batching.create(wanted(world), lines(*made))
    key = claim_key(world.profile, made[1].request(), "")
    held = Claim(key, "open", lease_until=world.clock() + timedelta(hours=1))  # somebody has it and never ends
    world.ledger.put(made[1].id, FleetDevice(made[1].id, PROFILE.label, created=world.clock()))
    world.ledger.put(made[1].id, held)
    while not (await world.batching.find(batch.id)).counts:
        await world.batching.advance(batch.id)
    assert [one["outcome"] for one in await results(world, batch.id)] == ["issued", "pending", "issued"]
    await work(world)
    assert [one["outcome"] for one in await results(world, batch.id)] == ["issued"] * 3
    assert (await world.batching.find(batch.id)).round > 1


async def test_what_must_be_approved_is_asked_for_again_until_it_is(world: Fakes) -> None:
    world.upstream.behaves += ["pending"] * 3
    batch = await world.batching.create(wanted(world), lines(*devices(3)))
    await world.batching.advance(batch.id)
    assert (await world.batching.find(batch.id)).counts["pending"] == 3
    world.upstream.approved = True
    await work(world)
    assert {one["outcome"] for one in await results(world, batch.id)} == {"issued"}
    assert len(world.ca.issued) == 3


async def test_what_is_never_approved_ends_after_a_month(world: Fakes) -> None:
    world.upstream.behaves += ["pending"] * 2
    batch = await world.batching.create(wanted(world), lines(*devices(2)))
    await work(world)
    after = await world.batching.find(batch.id)
    assert (after.state, after.trouble) == ("failed", "2 rows were not approved within 30 days")


async def test_a_ca_that_refuses_everything_stops_the_batch_and_an_operator_lets_it_go_on(world: Fakes) -> None:
    text = "the CA does not accept our credentials"
    world.calls.fail("upstream.issue", lambda: UpstreamRefused(text, nothing_issued=True), times=10)
    batch = await world.batching.create(wanted(world), lines(*devices(20)))
    await work(world)
    after = await world.batching.find(batch.id)
    assert after.state == "paused"
    assert f"the CA refuses every row: {text}" in after.trouble
    await world.batching.change(batch.id, "resume")
    await work(world)
    assert {one["outcome"] for one in await results(world, batch.id)} == {"issued"}


async def test_a_label_that_is_gone_stops_the_batch(world: Fakes) -> None:
    batch = await world.batching.create(wanted(world), lines(*devices(2)))
    world.profiles = {"other": fakes().profile}
    world.default = "other"
    world.upstreams = {"other": world.upstreams[PROFILE.label]}
    world.restart()
    await work(world)
    assert "no label" in (await world.batching.find(batch.id)).trouble


async def test_the_daily_limit_of_a_device_refuses_its_row_and_no_other(world: Fakes) -> None:
    tired = Device("dev-x")
    for _ in range(world.profile.daily_limit):
        await world.birth(world.device("dev-x").with_new_key())
    found = await run(world, lines(Device("dev-1"), tired.with_new_key()))
    assert [one["outcome"] for one in found] == ["issued", "refused"]
    assert "limit" in found[1]["reason"]


async def test_results_come_in_parts(world: Fakes) -> None:
    batch = await world.batching.create(wanted(world), lines(*devices(35)))
    await work(world)
    whole, after, parts = b"", 0, 0
    while True:
        part, after = await world.batching.results(batch.id, after, 1)
        whole, parts = whole + part, parts + 1
        if not after:
            break
    assert [json.loads(line)["row"] for line in whole.splitlines()] == list(range(1, 36))
    assert parts == 4


async def test_two_workers_on_one_batch_issue_nothing_twice(world: Fakes) -> None:
    batch = await world.batching.create(wanted(world), lines(*devices(20)))
    await asyncio.gather(world.batching.advance(batch.id), world.batching.advance(batch.id))
    await work(world)
    assert {one["outcome"] for one in await results(world, batch.id)} == {"issued"}
    assert len(world.ca.issued) == 20


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_crash_at_any_call_loses_no_row_and_issues_none_twice(moment: Moment) -> None:
    made = devices(12)
    content = lines(*made)
    calm = fakes()
    await calm.batching.create(wanted(calm), content)
    await work(calm)
    for number in range(len(calm.calls.made)):
        world = fakes()
        world.calls.fail_at(number, Crash, moment=moment)
        try:
            await world.batching.create(wanted(world), content)
        except Crash:
            world.restart()
            await world.batching.create(wanted(world), content)
        await work(world)
        found = await results(world, rules.batch_id("key-1"))
        assert [one["device_id"] for one in found] == [one.name for one in made], number
        assert {one["outcome"] for one in found} == {"issued"}, number
        assert len(world.ca.issued) == len({one["serial"] for one in found}) == 12, number
