"""The work queues: a message says whom and what, is hidden for its delay, and never expires."""

import asyncio
import base64
import json
import secrets
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, cast

import pytest
from azure.core.exceptions import ResourceNotFoundError

from shared.adapters.queues import StorageQueues
from shared.core.adoption import Seen
from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from shared.flows.ports.index import Due
from shared.flows.ports.work import Work
from tests.contracts.outside import Outside
from tests.fakes.work import FakeWork, Message, Queue

if TYPE_CHECKING:
    from azure.storage.queue.aio import QueueClient, QueueServiceClient

    from shared.flows.ports.batches import BatchWork

pytestmark = pytest.mark.anyio

DAY = date(2026, 5, 13)
YEAR = 365 * 24 * 3600


@dataclass
class Renamed:
    """The storage account with other names for its queues, so that the sandbox's app takes no message of these tests.

    None of them exists before the first message.
    """

    service: "QueueServiceClient"
    suffix: str

    def get_queue_client(self, queue: str, **options: Any) -> "QueueClient":  # noqa: ANN401 - the SDK's
        return self.service.get_queue_client(f"{queue}-{self.suffix}", **options)


@dataclass
class Subject:
    """`queues` is None where `work` is a fake."""

    work: Work
    dead: Work
    queues: Renamed | None

    async def visible(self, queue: Queue) -> list[dict[str, Any]]:
        """What a handler could take now, as the head of adapters/queues.py draws it."""
        if self.queues is None:
            return [_document(one) for one in cast("FakeWork", self.work).of(queue) if one.delay == 0]
        found = await self.queues.get_queue_client(queue).peek_messages(max_messages=32)
        assert all(one.expires_on is not None and one.expires_on.year > 9000 for one in found)
        return [json.loads(base64.b64decode(one.content)) for one in found]

    async def count(self, queue: Queue) -> int:
        """All messages, hidden ones too."""
        if self.queues is None:
            return len(cast("FakeWork", self.work).of(queue))
        try:
            properties = await self.queues.get_queue_client(queue).get_queue_properties()
        except ResourceNotFoundError:
            return 0
        return properties.approximate_message_count or 0


def _document(message: Message) -> dict[str, Any]:
    if message.seen is not None:
        seen = message.seen
        told = {"label": seen.label, "commonName": seen.common_name, "thumbprint": seen.thumbprint, "hub": seen.hub}
        return {**told, "certificate": base64.b64encode(seen.certificate).decode()}
    if message.batch:
        return {"batch": message.batch}
    rest = {"label": message.label, "serial": message.serial, "day": message.day.isoformat() if message.day else ""}
    failed = {"tries": message.tries} if message.tries else {}
    return {"deviceId": message.device, **{key: value for key, value in rest.items() if value}, **failed}


@pytest.fixture
def subject(real: Outside | None) -> Subject:
    if real is not None:
        renamed = Renamed(real.queues.service, secrets.token_hex(6))
        return Subject(StorageQueues(cast("QueueServiceClient", renamed)), real.dead_queues, renamed)
    dead = FakeWork()
    dead.calls.fail("", lambda: Unavailable("no", retry_after=5), times=99)
    return Subject(FakeWork(), dead, None)


async def test_a_message_says_whom_and_what(subject: Subject, device: DeviceId) -> None:
    await subject.work.settle(device, "devices")
    await subject.work.settle(device, "devices", tries=3)
    await subject.work.nudge(Due(device, "4a0b"), DAY)
    await subject.work.saga(device)
    await subject.work.publish(device)
    first = {"deviceId": device, "label": "devices"}
    assert await subject.visible("settle") == [first, {**first, "tries": 3}]
    assert await subject.visible("nudge") == [{"deviceId": device, "serial": "4a0b", "day": "2026-05-13"}]
    assert await subject.visible("saga") == [{"deviceId": device}]
    assert await subject.visible("publish") == [{"deviceId": device}]


async def test_a_certificate_that_was_seen_comes_whole_or_as_a_thumbprint(subject: Subject, device: DeviceId) -> None:
    """The largest that DPS's question brings along fits into a message of 64 KB."""
    der = bytes(range(256)) * 64
    thumbprint = {"commonName": device, "thumbprint": "ab" * 32}
    await subject.work.adopt(Seen("devices", device, "ab" * 32, der))
    encoded = base64.b64encode(der).decode()
    assert await subject.visible("adopt") == [{"label": "devices", **thumbprint, "hub": "", "certificate": encoded}]
    await subject.work.adopt(Seen("", device, "ab" * 32, hub="hub-a"))
    assert (await subject.visible("adopt"))[1:] == [{"label": "", **thumbprint, "hub": "hub-a", "certificate": ""}]


async def test_a_batch_goes_on_by_its_id(subject: Subject) -> None:
    work = cast("BatchWork", subject.work)
    await work.batch("b-1a2b")
    await work.batch("b-1a2b", 60)
    assert await subject.visible("batch") == [{"batch": "b-1a2b"}]
    assert await subject.count("batch") == 2


async def test_the_same_message_may_be_sent_twice(subject: Subject, device: DeviceId) -> None:
    await subject.work.saga(device)
    await subject.work.saga(device)
    assert await subject.count("saga") == 2


async def test_the_first_messages_make_their_queue(subject: Subject, device: DeviceId) -> None:
    """All at once, as after a restart."""
    assert await subject.count("publish") == 0
    await asyncio.gather(*(subject.work.publish(device) for _ in range(5)))
    assert await subject.count("publish") == 5


@pytest.mark.parametrize("delay", [60, 7 * 24 * 3600, YEAR])
async def test_a_delayed_message_is_there_and_hidden(subject: Subject, device: DeviceId, delay: int) -> None:
    """Storage queues hide a message for seven days at most: a longer delay is cut to that."""
    await subject.work.settle(device, "devices", delay)
    await subject.work.nudge(Due(device, "4a0b"), DAY, delay)
    await subject.work.saga(device, delay)
    await subject.work.adopt(Seen("devices", device, "ab" * 32), delay)
    for queue in ("settle", "nudge", "saga", "adopt"):
        assert await subject.visible(queue) == []
        assert await subject.count(queue) == 1


async def test_a_delay_that_is_over_is_none(subject: Subject, device: DeviceId) -> None:
    await subject.work.saga(device, -5)
    assert await subject.visible("saga") == [{"deviceId": device}]


async def test_a_store_that_does_not_answer_is_unavailable(subject: Subject, device: DeviceId) -> None:
    work = subject.dead
    calls = (
        work.settle(device, "devices"),
        work.nudge(Due(device, "4a0b"), DAY),
        work.saga(device),
        work.publish(device),
        work.adopt(Seen("devices", device, "ab" * 32)),
    )
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, Unavailable)
