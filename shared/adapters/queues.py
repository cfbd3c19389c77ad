"""Storage queues: messages that the queue triggers of this app take up, one JSON object each.

| queue     | message                                                       | goes to                                 |
|-----------|---------------------------------------------------------------|-----------------------------------------|
| `settle`  | `{"deviceId": "dev-1", "label": "devices", "tries": 2}`       | `Rotate.settle(device, label, tries)`   |
| `nudge`   | `{"deviceId": "dev-1", "serial": "4a…", "day": "2026-03-02"}` | `Renew.nudge(Due(device, serial), day)` |
| `saga`    | `{"deviceId": "dev-1"}`                                       | `Revoke.advance(device)`                |
| `publish` | `{"deviceId": "dev-1"}`                                       | `Announce.flush(device)`                |
| `adopt`   | `{"label", "commonName", "thumbprint", "hub", "certificate"}` | `Adopt.look_up(seen)`                   |
| `batch`   | `{"batch": "b-4a…"}`                                          | `BatchRun.go_on(batch)`                 |

`serial` is lower-case hex, `day` the partition of the `due` index that the certificate stands in. A message never
expires: the queue's own limit of seven days would lose work in a long outage. A message may come twice, late, or when
there is nothing left to do: its handler asks the state first. `tries` is there once it has failed. A delay is at most
seven days (learn.microsoft.com/rest/api/storageservices/put-message); a longer one is cut to that, and the handler,
seeing that it is too early, sends the message on with the rest of the delay. `"delay": seconds` stands in a message
that was hidden on purpose, so that its time in the queue can be told from waiting (backlog.py).
"""

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Final

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import TextBase64EncodePolicy

from shared.core.adoption import Seen
from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from shared.flows.ports.index import Due

if TYPE_CHECKING:
    from azure.storage.queue.aio import QueueClient, QueueServiceClient

SETTLE: Final = "settle"
NUDGE: Final = "nudge"
SAGA: Final = "saga"
PUBLISH: Final = "publish"
BATCH: Final = "batch"
ADOPT: Final = "adopt"

_LONGEST_DELAY: Final = 7 * 24 * 3600
_FOR_EVER: Final = -1
# The storage SDK's own retries take up to a minute with its defaults; a device may be waiting for us.
SECONDS: Final = 8.0


@dataclass(frozen=True)
class StorageQueues:
    """Messages are encoded in base64, as host.json tells the triggers to expect. All raise Unavailable."""

    service: "QueueServiceClient"
    _queues: dict[str, "QueueClient"] = field(default_factory=dict, repr=False)

    async def settle(self, device: DeviceId, label: str, delay: int = 0, tries: int = 0) -> None:
        failed = {"tries": tries} if tries else {}
        await self._send(SETTLE, {"deviceId": device, "label": label, **failed}, delay)

    async def nudge(self, due: Due, day: date, delay: int = 0) -> None:
        await self._send(NUDGE, {"deviceId": due.device_id, "serial": due.serial, "day": day.isoformat()}, delay)

    async def saga(self, device: DeviceId, delay: int = 0) -> None:
        await self._send(SAGA, {"deviceId": device}, delay)

    async def publish(self, device: DeviceId) -> None:
        await self._send(PUBLISH, {"deviceId": device}, 0)

    async def batch(self, ident: str, delay: int = 0) -> None:
        await self._send(BATCH, {"batch": ident}, delay)

    async def adopt(self, seen: Seen, delay: int = 0) -> None:
        told = {"label": seen.label, "commonName": seen.common_name, "thumbprint": seen.thumbprint, "hub": seen.hub}
        await self._send(ADOPT, {**told, "certificate": base64.b64encode(seen.certificate).decode()}, delay)

    def _client(self, queue: str) -> "QueueClient":
        """The encoding is given here, because the service's client takes it and forgets it."""
        if queue not in self._queues:
            self._queues[queue] = self.service.get_queue_client(queue, message_encode_policy=TextBase64EncodePolicy())
        return self._queues[queue]

    async def _send(self, queue: str, message: Mapping[str, str | int], delay: int) -> None:
        """The queue is made when it is missing, as the bindings of the Functions host do it."""
        client = self._client(queue)
        try:
            async with asyncio.timeout(SECONDS):
                try:
                    await _put(client, message, delay)
                except ResourceNotFoundError:
                    await _create(client)
                    await _put(client, message, delay)
        except (AzureError, TimeoutError) as error:
            raise Unavailable(
                "a service that is needed does not answer", retry_after=5, cause=f"queue {queue}: {error!r}"
            ) from error


async def _put(client: "QueueClient", message: Mapping[str, str | int], delay: int) -> None:
    hidden = min(max(0, delay), _LONGEST_DELAY)
    content = {**message, "delay": hidden} if hidden else message
    await client.send_message(json.dumps(content), visibility_timeout=hidden, time_to_live=_FOR_EVER)


async def _create(client: "QueueClient") -> None:
    try:
        await client.create_queue()
    except ResourceExistsError:
        return  # another message made it meanwhile
