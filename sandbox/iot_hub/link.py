"""A device's open connection, as the rest of the hub sees it: something that takes messages and can be cut."""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.iot_hub import mqtt

Json = dict[str, Any]

METHODS: Final = "$iothub/methods/POST/#"
TWIN_ANSWERS: Final = "$iothub/twin/res/#"
DESIRED: Final = "$iothub/twin/PATCH/properties/desired/#"
FILTERS: Final = {METHODS, TWIN_ANSWERS, DESIRED}  # and the device's own messages/devicebound/#


@dataclass(frozen=True)
class MethodAnswer:
    status: int
    payload: object


@dataclass(eq=False)
class Link:
    """`send` and `cut` return at once. `active` from the first subscription or message on: only then does IoT Hub
    count the device as connected.
    """

    send: Callable[[bytes], None]
    cut: Callable[[str], None]
    subscriptions: set[str] = field(default_factory=set)
    active: bool = False
    calls: dict[str, asyncio.Future[MethodAnswer | None]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def publish(self, subscribed: str, topic: str, content: object) -> None:
        """A message on `topic`, if the device subscribed to its filter; otherwise nobody gets it."""
        if subscribed in self.subscriptions:
            self.send(mqtt.publish(topic, json.dumps(content).encode()))

    def desire(self, patch: Json, version: int) -> None:
        topic = f"$iothub/twin/PATCH/properties/desired/?$version={version}"
        self.publish(DESIRED, topic, patch | {"$version": version})

    async def call(self, method: str, payload: object, within: float) -> MethodAnswer | None:
        """The device's answer; None when there is none in time, or the connection ends before it."""
        request_id = f"{next(self._numbers):x}"
        future: asyncio.Future[MethodAnswer | None] = asyncio.get_running_loop().create_future()
        self.calls[request_id] = future
        try:
            self.publish(METHODS, f"$iothub/methods/POST/{method}/?$rid={request_id}", payload)
            async with asyncio.timeout(within):
                return await future
        except TimeoutError:
            return None
        finally:
            del self.calls[request_id]

    def answered(self, request_id: str, answer: MethodAnswer) -> None:
        """An answer that comes too late finds nobody waiting."""
        future = self.calls.get(request_id)
        if future is not None and not future.done():
            future.set_result(answer)

    def ended(self) -> None:
        for future in self.calls.values():
            if not future.done():
                future.set_result(None)
