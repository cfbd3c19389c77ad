"""A factory and its files, and the queue that works them off: for the stories of batches."""

import asyncio
import base64
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from shared.core import batch as rules
from shared.core.batch import Batch, Deed, Format
from shared.core.errors import Unavailable
from shared.core.ops import Command
from tests.fakes.calls import Crash
from tests.fakes.devices import Device
from tests.fakes.world import PROFILE, Fakes

CALLER = "factory-7 (function key)"
BATCH = rules.batch_id("key-1")


def wanted(world: Fakes, form: Format = "jsonl", key: str = "key-1") -> Batch:
    return Batch(rules.batch_id(key), PROFILE.label, form, "uploading", CALLER, "", created=world.clock())


def csr_of(device: Device) -> str:
    return base64.b64encode(device.request().der).decode()


def devices(count: int) -> list[Device]:
    return [Device(f"dev-{number:03d}") for number in range(count)]


def lines(*made: Device) -> bytes:
    return b"".join(json.dumps({"device_id": one.name, "csr": csr_of(one)}).encode() + b"\n" for one in made)


def archive(files: Mapping[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return held.getvalue()


def zipped(*made: Device) -> bytes:
    return archive({f"{one.name}.der": one.request().der for one in made})


async def sent(world: Fakes, content: bytes, form: Format = "jsonl", key: str = "key-1") -> Batch:
    return await world.batching.create(wanted(world, form, key), content)


async def change(world: Fakes, deed: Deed, key: str = "", size: int | None = None) -> Batch:
    """Without a `key` it is a new wish."""
    command = Command(key or f"{deed} {len(world.calls.made)}", CALLER)
    return await world.batching.change(BATCH, deed, command, size)


async def work(world: Fakes) -> None:
    """The queue, until it is empty: a message that fails comes again."""
    while messages := world.work.take("batch"):
        for message in messages:
            await asyncio.sleep(message.delay)
            again = False
            while True:
                try:
                    await world.batch_run.go_on(message.batch, again=again)
                except (Unavailable, Crash):
                    world.restart()
                    await asyncio.sleep(30)  # host.json: visibilityTimeout
                    again = True
                    continue
                break


async def results(world: Fakes, ident: str = BATCH) -> list[dict[str, Any]]:
    content, following = await world.batching.results(ident, 0, 10**9)
    assert not following
    return [json.loads(line) for line in content.splitlines()]


async def run(world: Fakes, content: bytes, form: Format = "jsonl", key: str = "key-1") -> list[dict[str, Any]]:
    made = await sent(world, content, form, key)
    await work(world)
    return await results(world, made.id)


async def now(world: Fakes) -> Batch:
    return await world.batching.find(BATCH)
