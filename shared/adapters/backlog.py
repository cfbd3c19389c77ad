"""How long messages have been waiting in the queues of this app."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError, ResourceNotFoundError

from shared.adapters.poison import QUEUES
from shared.adapters.queues import SECONDS
from shared.core.errors import Unavailable

if TYPE_CHECKING:
    from azure.storage.queue import QueueMessage
    from azure.storage.queue.aio import QueueClient, QueueServiceClient


@dataclass(frozen=True)
class StorageBacklog:
    """`service` may be the one of StorageQueues. Messages are looked at, and stay as they are."""

    service: "QueueServiceClient"
    clock: Callable[[], datetime]

    async def ages(self) -> Mapping[str, float]:
        try:
            async with asyncio.timeout(SECONDS):
                found = await asyncio.gather(*(_oldest(self._client(queue)) for queue in QUEUES))
        except (AzureError, TimeoutError) as error:
            raise Unavailable(
                "a service that is needed does not answer", retry_after=5, cause=f"queues: {error!r}"
            ) from error
        return {queue: self._age(message) for queue, message in zip(QUEUES, found, strict=True)}

    def _client(self, queue: str) -> "QueueClient":
        return self.service.get_queue_client(queue, message_encode_policy=None, message_decode_policy=None)

    def _age(self, message: "QueueMessage | None") -> float:
        """Since it was to be handled: the time for which it was hidden on purpose does not count."""
        if message is None or message.inserted_on is None:
            return 0.0
        since = (self.clock() - message.inserted_on).total_seconds()
        return max(0.0, since - _delay(message.content))


async def _oldest(queue: "QueueClient") -> "QueueMessage | None":
    """The first of those that are not hidden; a queue that was never needed does not exist."""
    try:
        messages = await queue.peek_messages(max_messages=1)
    except ResourceNotFoundError:
        return None
    return messages[0] if messages else None


def _delay(content: str) -> float:
    """As shared/adapters/queues.py writes it; messages of others have none."""
    try:
        match json.loads(b64decode(content, validate=True)):
            case {"delay": int() as seconds}:
                return seconds
            case _:
                return 0.0
    except ValueError:
        return 0.0
