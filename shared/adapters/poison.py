"""Poison queues: where the Functions host puts a message that its handler has failed to take five times.

learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger (Poison messages)
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError

from shared.adapters.queues import ADOPT, BATCH, NUDGE, PUBLISH, SAGA, SETTLE
from shared.core.errors import Unavailable

if TYPE_CHECKING:
    from azure.storage.queue.aio import QueueClient, QueueServiceClient

# Every queue that triggers a function of this app.
QUEUES: Final = (SETTLE, NUDGE, SAGA, PUBLISH, BATCH, ADOPT, "hub-events")

_SUFFIX: Final = "-poison"
_FOR_EVER: Final = -1
_AT_ONCE: Final = 32  # the most that one request takes
# Long enough to put a batch back; what is not put back by then shows again.
_HIDDEN_SECONDS: Final = 60
_SECONDS: Final = 8.0  # the SDK's own retries take longer


@dataclass(frozen=True)
class StoragePoison:
    """`service` may be the one of StorageQueues. Messages are taken as they are: one may be poison for its encoding."""

    service: "QueueServiceClient"

    async def counts(self) -> Mapping[str, int]:
        """For each queue of the app; a poison queue that was never needed does not exist, and holds none."""
        try:
            async with asyncio.timeout(_SECONDS):
                found = await asyncio.gather(*(_count(self._client(queue + _SUFFIX)) for queue in QUEUES))
        except (AzureError, TimeoutError) as error:
            raise _unavailable(error) from error
        return dict(zip(QUEUES, found, strict=True))

    async def replay(self, queue: str, limit: int) -> int:
        """Each message is sent before it is deleted: a crash in between leaves it twice, and never not at all."""
        poison, healthy = self._client(queue + _SUFFIX), self._client(queue)
        moved = 0
        try:
            while moved < limit and (taken := await self._batch(poison, healthy, limit - moved)):
                moved += taken
        except ResourceNotFoundError:
            return moved  # there is no poison queue
        except AzureError as error:
            raise _unavailable(error) from error
        return moved

    async def _batch(self, poison: "QueueClient", healthy: "QueueClient", most: int) -> int:
        size = min(most, _AT_ONCE)
        pages = poison.receive_messages(max_messages=size, messages_per_page=size, visibility_timeout=_HIDDEN_SECONDS)
        messages = [message async for message in pages]
        for message in messages:
            try:
                await healthy.send_message(message.content, time_to_live=_FOR_EVER)
            except ResourceNotFoundError:
                await _create(healthy)
                await healthy.send_message(message.content, time_to_live=_FOR_EVER)
            await poison.delete_message(message)
        return len(messages)

    def _client(self, name: str) -> "QueueClient":
        return self.service.get_queue_client(name, message_encode_policy=None, message_decode_policy=None)


async def _count(queue: "QueueClient") -> int:
    try:
        properties = await queue.get_queue_properties()
    except ResourceNotFoundError:
        return 0
    return properties.approximate_message_count or 0


async def _create(queue: "QueueClient") -> None:
    try:
        await queue.create_queue()
    except ResourceExistsError:
        return  # the host made it meanwhile


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable("a service that is needed does not answer", retry_after=5, cause=f"poison queues: {error!r}")
