"""Poison queues: counted, and put back as they were, message by message."""

import contextlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from shared.adapters.poison import QUEUES, StoragePoison
from shared.core.errors import Unavailable
from shared.flows.ports.operators import Poison
from tests.fakes.ops import FakePoison

if TYPE_CHECKING:
    from azure.storage.queue.aio import QueueClient, QueueServiceClient

    from tests.contracts.outside import Outside

pytestmark = pytest.mark.anyio

ODD = ["bm8gSlNPTg==", "no base64: <xml> & “quotes” ü", '{"deviceId": "dev-1"}']


@dataclass
class Renamed:
    """The storage account with other names for its queues, so that the sandbox's app takes no message from here."""

    service: "QueueServiceClient"
    suffix: str

    def get_queue_client(self, queue: str, **options: Any) -> "QueueClient":  # noqa: ANN401 - the SDK's
        name = queue.removesuffix("-poison")
        return self.service.get_queue_client(f"{name}-{self.suffix}{queue.removeprefix(name)}", **options)


@dataclass
class Subject:
    poison: Poison
    dead: Poison
    queues: Renamed | None

    async def bury(self, queue: str, *messages: str) -> None:
        if self.queues is None:
            cast("FakePoison", self.poison).messages[queue] += messages
            return
        client = self.queues.get_queue_client(f"{queue}-poison")
        with contextlib.suppress(ResourceExistsError):
            await client.create_queue()
        for message in messages:
            await client.send_message(message)

    async def back(self, queue: str) -> list[str]:
        """What stands in the queue itself, for as long as it takes."""
        if self.queues is None:
            return [message for of, message in cast("FakePoison", self.poison).replayed if of == queue]
        client, found = self.queues.get_queue_client(queue), []
        try:
            async for message in client.receive_messages(messages_per_page=32, visibility_timeout=600):
                assert message.expires_on is not None
                assert message.expires_on.year > 9000
                found.append(message.content)
        except ResourceNotFoundError:
            return []
        return found


@pytest.fixture
def subject(real: "Outside | None") -> Subject:
    if real is not None:
        renamed = Renamed(real.queues.service, secrets.token_hex(6))
        dead = StoragePoison(real.dead_queues.service)
        return Subject(StoragePoison(cast("QueueServiceClient", renamed)), dead, renamed)
    dead_fake = FakePoison()
    dead_fake.calls.fail("", lambda: Unavailable("no", retry_after=5), times=99)
    return Subject(FakePoison(messages={queue: [] for queue in QUEUES}), dead_fake, None)


async def test_poison_is_counted_also_where_there_never_was_any(subject: Subject) -> None:
    await subject.bury("saga", *ODD)
    assert await subject.poison.counts() == dict.fromkeys(QUEUES, 0) | {"saga": 3}


async def test_messages_go_back_as_they_were(subject: Subject) -> None:
    await subject.bury("saga", *ODD)
    assert await subject.poison.replay("saga", 100) == 3
    assert sorted(await subject.back("saga")) == sorted(ODD)
    assert (await subject.poison.counts())["saga"] == 0
    assert await subject.poison.replay("saga", 100) == 0


async def test_no_more_go_back_than_were_asked_for(subject: Subject) -> None:
    await subject.bury("nudge", *(f"m{number}" for number in range(40)))
    assert await subject.poison.replay("nudge", 35) == 35
    assert (await subject.poison.counts())["nudge"] == 5
    assert len(set(await subject.back("nudge"))) == 35


async def test_where_there_never_was_any_poison_nothing_goes_back(subject: Subject) -> None:
    assert await subject.poison.replay("settle", 10) == 0
    assert await subject.back("settle") == []


async def test_a_store_that_does_not_answer_is_unavailable(subject: Subject) -> None:
    with pytest.raises(Unavailable):
        await subject.dead.counts()
    with pytest.raises(Unavailable):
        await subject.dead.replay("saga", 1)
