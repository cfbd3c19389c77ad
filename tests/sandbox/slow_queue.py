"""A queue function that runs longer than its message is invisible; prints what became of the message."""

import asyncio
import json
import os
from typing import Any

from sandbox.host.host_json import Queues
from sandbox.host.index import Datum, Function, Outcome
from sandbox.host.invoke import Invoker
from sandbox.host.queues import Listener, Storage


class Slow(Invoker):
    """Notes what it was called with, and takes its time."""

    started: list[str]

    async def run(self, function: Function, trigger: Any, *_: object, **__: object) -> Outcome:  # noqa: ANN401, ARG002
        self.started.append(trigger.value)
        await asyncio.sleep(4)
        return Outcome(ok=True)


async def main() -> None:
    trigger = {"type": "queueTrigger", "queueName": os.environ["QUEUE_NAME"], "connection": "STORAGE"}
    storage = Storage(dict(os.environ), Queues(max_polling_interval=0.2))
    slow = Slow(None, storage.send)
    slow.started = []
    listener = Listener(Function("slow", "id", trigger, {}), storage, storage.encoding, slow, invisible=2)
    task = asyncio.create_task(listener.run())
    await storage.send({**trigger, "type": "queue"}, Datum("slow", "string"))
    await asyncio.sleep(6)
    properties = await storage.queue("STORAGE", os.environ["QUEUE_NAME"]).client.get_queue_properties()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await storage.close()
    print(json.dumps({"left": properties.approximate_message_count, "started": slow.started}))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
