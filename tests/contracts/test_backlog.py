"""How long messages wait: since they were to be handled, whatever lies in the queue."""

import asyncio
import base64
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from shared.adapters.backlog import StorageBacklog
from shared.adapters.poison import QUEUES
from shared.adapters.queues import StorageQueues
from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from tests.contracts.outside import Outside, sandbox_of
from tests.contracts.test_queues import Renamed

if TYPE_CHECKING:
    from azure.storage.queue.aio import QueueServiceClient

pytestmark = pytest.mark.anyio

LATER = timedelta(seconds=100)


def later() -> datetime:
    """A clock that is ahead, so that nobody has to wait. Storage tells whole seconds."""
    return datetime.now(UTC) + LATER


@pytest.fixture
def outside_here(request: pytest.FixtureRequest) -> Outside:
    """The real adapter alone: the fake has its ages from the test itself."""
    return sandbox_of(request)[1]


@pytest.fixture
def renamed(outside_here: Outside) -> "QueueServiceClient":
    return cast("QueueServiceClient", Renamed(outside_here.queues.service, secrets.token_hex(6)))


async def test_queues_that_do_not_exist_hold_nothing_up(renamed: "QueueServiceClient") -> None:
    assert await StorageBacklog(renamed, later).ages() == dict.fromkeys(QUEUES, 0.0)


async def test_a_message_waits_since_it_was_sent(renamed: "QueueServiceClient", device: DeviceId) -> None:
    await StorageQueues(renamed).saga(device)
    ages = await StorageBacklog(renamed, later).ages()
    assert 99 <= ages["saga"] < 104
    assert ages["settle"] == 0.0


async def test_a_hidden_message_does_not_wait(renamed: "QueueServiceClient", device: DeviceId) -> None:
    await StorageQueues(renamed).saga(device, 600)
    assert (await StorageBacklog(renamed, later).ages())["saga"] == 0.0


async def test_the_time_for_which_it_was_hidden_is_no_waiting(renamed: "QueueServiceClient", device: DeviceId) -> None:
    await StorageQueues(renamed).saga(device, 4)
    backlog, age = StorageBacklog(renamed, later), 0.0
    for _ in range(150):
        age = (await backlog.ages())["saga"]
        if age:
            break
        await asyncio.sleep(0.1)
    assert 99 <= age < 103


@pytest.mark.parametrize("content", ["no base64", base64.b64encode(b"no JSON").decode(), "e30="])
async def test_a_message_of_others_waits_since_it_was_sent(renamed: "QueueServiceClient", content: str) -> None:
    queue = renamed.get_queue_client("hub-events", message_encode_policy=None, message_decode_policy=None)
    await queue.create_queue()
    await queue.send_message(content)
    assert (await StorageBacklog(renamed, later).ages())["hub-events"] >= 99


async def test_a_clock_that_is_behind_makes_nothing_younger_than_new(
    renamed: "QueueServiceClient", device: DeviceId
) -> None:
    await StorageQueues(renamed).saga(device)
    behind = StorageBacklog(renamed, lambda: datetime.now(UTC) - LATER)
    assert (await behind.ages())["saga"] == 0.0


async def test_a_store_that_does_not_answer_is_unavailable(outside_here: Outside) -> None:
    with pytest.raises(Unavailable):
        await StorageBacklog(outside_here.dead_queues.service, later).ages()
