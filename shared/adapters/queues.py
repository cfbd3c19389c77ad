"""Storage queues: messages that the queue triggers of this app take up."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.queue import TextBase64EncodePolicy

from shared.core.errors import Unavailable
from shared.core.identity import DeviceId

if TYPE_CHECKING:
    from azure.storage.queue.aio import QueueClient, QueueServiceClient

SETTLE: Final = "settle"


@dataclass(frozen=True)
class StorageQueues:
    """Messages are encoded in base64, as host.json tells the triggers to expect."""

    service: "QueueServiceClient"
    _queues: dict[str, "QueueClient"] = field(default_factory=dict, repr=False)

    async def settle(self, device: DeviceId, label: str) -> None:
        await self._send(SETTLE, {"deviceId": device, "label": label})

    def _client(self, queue: str) -> "QueueClient":
        """The encoding is given here, because the service's client takes it and forgets it."""
        if queue not in self._queues:
            self._queues[queue] = self.service.get_queue_client(queue, message_encode_policy=TextBase64EncodePolicy())
        return self._queues[queue]

    async def _send(self, queue: str, message: dict[str, str]) -> None:
        client = self._client(queue)
        try:
            try:
                await client.send_message(json.dumps(message))
            except ResourceNotFoundError:
                await client.create_queue()
                await client.send_message(json.dumps(message))
        except AzureError as error:
            raise Unavailable(
                "a service that is needed does not answer", retry_after=5, cause=f"queue {queue}: {error!r}"
            ) from error
