"""Event Hub functions, woken by `POST /admin/eventhubs/{event hub}` with the master key: a JSON array of bodies.

Event Hubs speaks AMQP, and the real host reads it through Microsoft's processor with checkpoints in blobs. None of that
is played: the broker is Microsoft's container image and the protocol nothing that an app would see. What the app does
see is: batches, their metadata, the retry policy, and that a batch which fails to the end is passed over.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final

from aiohttp import web

from sandbox.host.clock import Clock
from sandbox.host.http import read_body
from sandbox.host.index import Datum, Function
from sandbox.host.invoke import Invoker
from sandbox.host.timers import pause

log = logging.getLogger("sandbox.host")

BODY_LIMIT: Final = 16 * 1024 * 1024
EVENT_LIMIT: Final = 1024 * 1024  # learn: event-hubs/event-hubs-quotas


@dataclass
class EventHubs:
    functions: Mapping[str, Function]
    invoker: Invoker
    clock: Clock
    batch_size: int = 100
    sequence: int = 0
    running: set[asyncio.Task[bool]] = field(default_factory=set)

    async def answer(self, request: web.BaseRequest, name: str) -> web.Response:
        """202 when every function that reads this event hub took every batch; 500 when one did not."""
        readers = [f for f in self.functions.values() if f.trigger["eventHubName"].lower() == name.lower()]
        if not readers:
            return web.Response(status=404, text=f"no function reads the event hub {name}")
        try:
            bodies = [octets(item) for item in json.loads(await read_body(request, BODY_LIMIT))]
        except (ValueError, TypeError):
            return web.Response(status=400, text="the body is not a JSON array of events, each below 1 MB")
        batches = [bodies[start : start + self.batch_size] for start in range(0, len(bodies), self.batch_size)]
        taken = [await self._tracked(function, batch) for function in readers for batch in batches]
        return web.Response(status=202 if all(taken) else 500)

    async def _tracked(self, function: Function, batch: Sequence[bytes]) -> bool:
        task = asyncio.get_running_loop().create_task(self._run(function, batch))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return await task

    async def _run(self, function: Function, batch: Sequence[bytes]) -> bool:
        """`cardinality: ONE` gets the events one by one."""
        described = [self._describe() for _ in batch]
        if str(function.trigger.get("cardinality", "MANY")).upper() == "ONE":
            pairs = zip(batch, described, strict=True)
            return all([await self._retried(function, Datum(body, "bytes"), one(each)) for body, each in pairs])
        datum = Datum(SimpleNamespace(bytes=list(batch)), "collection_bytes")
        return await self._retried(function, datum, many(described))

    async def _retried(self, function: Function, datum: Any, metadata: dict[str, Any]) -> bool:  # noqa: ANN401 - a Datum, which carries no types
        """As the function's retry policy says. Then the checkpoint is set, whatever became of the batch."""
        most, tries = function.retry.count if function.retry is not None else 0, 0
        while True:
            outcome = await self.invoker.run(function, datum, metadata, retries=(tries, most))
            if outcome.ok or function.retry is None or tries == most:
                break
            await asyncio.sleep(pause(function.retry, tries))
            tries += 1
        if not outcome.ok:
            log.error("'Functions.%s' has failed for good: the batch is passed over", function.name)
        return outcome.ok

    def _describe(self) -> dict[str, Any]:
        self.sequence += 1
        now = self.clock.now()
        return {"SequenceNumber": self.sequence, "Offset": self.sequence * 512, "EnqueuedTimeUtc": now.isoformat()}


def octets(item: object) -> bytes:
    """An event's body: a text as it is, anything else as JSON."""
    body = (item if isinstance(item, str) else json.dumps(item)).encode()
    if len(body) > EVENT_LIMIT:
        raise ValueError("an event holds 1 MB")
    return body


PARTITION: Final = {"FullyQualifiedNamespace": "sandbox", "ConsumerGroup": "$Default", "PartitionId": "0"}


def many(described: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The worker insists on as many system properties as bodies."""
    return {
        "PartitionContext": as_json(PARTITION),
        "SystemPropertiesArray": as_json(described),
        "PropertiesArray": as_json([{} for _ in described]),
    }


def one(described: dict[str, Any]) -> dict[str, Any]:
    """Offset and sequence number stand beside the system properties then."""
    return {
        "PartitionContext": as_json(PARTITION),
        "SystemProperties": as_json(described),
        "Properties": as_json({}),
        "EnqueuedTimeUtc": as_json(described["EnqueuedTimeUtc"]),
        "SequenceNumber": as_json(described["SequenceNumber"]),
        "Offset": Datum(str(described["Offset"]), "string"),
    }


def as_json(value: object) -> Any:  # noqa: ANN401 - a Datum, which carries no types
    return Datum(json.dumps(value), "json")
