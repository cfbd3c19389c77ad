"""Storage queues: the trigger's polling loop and the output binding, over the real SDK.

learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger (polling, concurrency, poison
messages); sdk: Microsoft.Azure.WebJobs.Extensions.Storage.Queues, QueueListener and QueueProcessor.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.identity.aio import ManagedIdentityCredential
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from sandbox.host import queue_messages, settings
from sandbox.host.host_json import Queues
from sandbox.host.index import Binding, Function
from sandbox.host.invoke import Invoker

log = logging.getLogger("sandbox.host")
_silent = logging.getLogger("sandbox.host.requests")  # the real host polls in another process: no log of the app
_silent.propagate = False
_silent.addHandler(logging.NullHandler())

_FIRST_PAUSE = 0.1


@dataclass
class Queue:
    client: QueueClient
    written: asyncio.Event = field(default_factory=asyncio.Event)  # an output binding of this host has sent to it

    async def create(self) -> None:
        with suppress(ResourceExistsError):
            await self.client.create_queue()

    async def send(self, content: str) -> None:
        """`content` as it goes on the wire. Created when missing, as the bindings of the real host do."""
        try:
            await self.client.send_message(content)
        except ResourceNotFoundError:
            await self.create()
            await self.client.send_message(content)
        self.written.set()


@dataclass
class Storage:
    """Every queue that the app's bindings name, one client each; credentials are shared."""

    app_settings: Mapping[str, str]
    encoding: Queues
    _queues: dict[tuple[str, str], Queue] = field(default_factory=dict)
    _credentials: dict[str | None, ManagedIdentityCredential] = field(default_factory=dict)

    def queue(self, connection: str, name: str) -> Queue:
        service = settings.queue_service(connection, self.app_settings)
        if service.client_id not in self._credentials:
            credential = ManagedIdentityCredential(client_id=service.client_id, logger=_silent)
            self._credentials[service.client_id] = credential
        key = (service.url, name)
        if key not in self._queues:
            client = QueueClient(
                service.url,
                name,
                credential=self._credentials[service.client_id],
                logger=_silent,
                initial_backoff=1,
                increment_base=2,
                random_jitter_range=1,
            )
            self._queues[key] = Queue(client)
        return self._queues[key]

    async def send(self, binding: Binding, datum: Any) -> None:  # noqa: ANN401 - a Datum, which carries no types
        """An output binding."""
        if binding["type"] != "queue":
            raise ValueError(f"the output binding {binding['type']} is not played in the sandbox")
        queue = self.queue(binding.get("connection", ""), binding["queueName"])
        for body in queue_messages.bodies(datum):
            await queue.send(queue_messages.encoded(body, base64=self.encoding.base64))

    async def close(self) -> None:
        for queue in self._queues.values():
            await queue.client.close()
        for credential in self._credentials.values():
            await credential.close()


@dataclass
class Listener:
    function: Function
    storage: Storage
    options: Queues
    invoker: Invoker
    # Seconds for which a taken message stays invisible, renewed at half time while its function runs (QueueListener).
    invisible: int = 600
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _trouble: str = ""

    def _queue(self, suffix: str = "") -> Queue:
        trigger = self.function.trigger
        return self.storage.queue(trigger.get("connection", ""), trigger["queueName"] + suffix)

    async def run(self) -> None:
        """Poll; a queue that is empty or out of reach is asked ever less often, up to maxPollingInterval."""
        queue = self._queue()
        pause = _FIRST_PAUSE
        try:
            while True:
                while len(self._running) > self.options.new_batch_threshold:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                queue.written.clear()
                messages = await self._receive(queue)
                for message in messages:
                    task = asyncio.create_task(self._process(queue, message))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)
                if messages:
                    pause = _FIRST_PAUSE
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause * random.uniform(0.8, 1.2)):  # noqa: S311 - spreads the polling
                        await queue.written.wait()
                        pause = _FIRST_PAUSE
                        continue
                pause = min(pause * 2, max(self.options.max_polling_interval, _FIRST_PAUSE))
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _receive(self, queue: Queue) -> list[QueueMessage]:
        size = self.options.batch_size
        pages = queue.client.receive_messages(
            messages_per_page=size, max_messages=size, visibility_timeout=self.invisible, retry_total=0
        )
        try:
            messages = [message async for message in pages]
        except ResourceNotFoundError:
            messages = []
            await self._created(queue)
        except AzureError as error:
            self._complain(queue, error)
            return []
        self._trouble = ""
        return messages

    async def _created(self, queue: Queue) -> None:
        try:
            await queue.create()
        except AzureError as error:
            self._complain(queue, error)

    def _complain(self, queue: Queue, error: AzureError) -> None:
        """Once for each kind of trouble, not at every poll."""
        if self._trouble != _line(error):
            self._trouble = _line(error)
            log.warning("queue %s is out of reach: %s", queue.client.queue_name, self._trouble)

    async def _process(self, queue: Queue, message: QueueMessage) -> None:
        try:
            await self._settle(queue, message)
        except AzureError as error:
            # Lost: the message comes back when it gets visible again. Queues deliver at least once.
            log.warning("queue %s: message %s not settled: %s", queue.client.queue_name, message.id, _line(error))

    async def _settle(self, queue: Queue, message: QueueMessage) -> None:
        taken = message.dequeue_count or 1
        if taken > self.options.max_dequeue_count:
            await self._bury(queue, message, "was taken too often")
            return
        try:
            body = queue_messages.decoded(message.content, base64=self.options.base64)
        except ValueError:
            await self._bury(queue, message, "is not base64; host.json sets extensions.queues.messageEncoding")
            return
        renewal = asyncio.create_task(_renew(queue, message, self.invisible))
        try:
            outcome = await self.invoker.run(self.function, body, queue_messages.metadata(message))
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)
        if outcome.ok:
            await queue.client.delete_message(message)
        elif taken >= self.options.max_dequeue_count:
            await self._bury(queue, message, f"failed {taken} times")
        else:
            await queue.client.update_message(message, visibility_timeout=int(self.options.visibility_timeout))

    async def _bury(self, queue: Queue, message: QueueMessage, why: str) -> None:
        poison = self._queue("-poison")
        log.error("message %s of %s %s: to %s", message.id, queue.client.queue_name, why, poison.client.queue_name)
        await poison.send(message.content)
        await queue.client.delete_message(message)


def _line(error: AzureError) -> str:
    return str(error.message).partition("\n")[0]


async def _renew(queue: Queue, message: QueueMessage, invisible: int) -> None:
    while True:
        await asyncio.sleep(invisible / 2)
        updated = await queue.client.update_message(message, visibility_timeout=invisible)
        message.pop_receipt = updated.pop_receipt
