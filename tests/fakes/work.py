"""The queues in memory: what was sent, and a hand that takes it out again."""

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from shared.core.adoption import Seen
from shared.core.identity import DeviceId
from shared.flows.ports.index import Due
from tests.fakes.calls import Calls

type Queue = Literal["settle", "nudge", "saga", "publish", "batch", "adopt"]

LONGEST_DELAY = 7 * 24 * 3600


@dataclass(frozen=True)
class Message:
    """`delay` is in seconds, cut to seven days as Storage queues do; the rest is what the queue's message holds."""

    queue: Queue
    device: DeviceId
    label: str = ""
    serial: str = ""
    day: date | None = None
    delay: int = 0
    batch: str = ""
    seen: Seen | None = None
    tries: int = 0


@dataclass
class FakeWork:
    """`messages` are what stands in all queues, in the order of sending."""

    calls: Calls = field(default_factory=Calls)
    messages: list[Message] = field(default_factory=list)

    async def settle(self, device: DeviceId, label: str, delay: int = 0, tries: int = 0) -> None:
        await self._send(Message("settle", device, label, delay=_cut(delay), tries=tries))

    async def nudge(self, due: Due, day: date, delay: int = 0) -> None:
        await self._send(Message("nudge", due.device_id, serial=due.serial, day=day, delay=_cut(delay)))

    async def saga(self, device: DeviceId, delay: int = 0) -> None:
        await self._send(Message("saga", device, delay=_cut(delay)))

    async def publish(self, device: DeviceId) -> None:
        await self._send(Message("publish", device))

    async def batch(self, ident: str, delay: int = 0) -> None:
        await self._send(Message("batch", DeviceId(""), batch=ident, delay=_cut(delay)))

    async def adopt(self, seen: Seen, delay: int = 0) -> None:
        await self._send(Message("adopt", DeviceId(seen.common_name), delay=_cut(delay), seen=seen))

    async def _send(self, message: Message) -> None:
        async with self.calls.to(f"work.{message.queue}"):
            self.messages.append(message)

    @property
    def settling(self) -> list[tuple[DeviceId, str]]:
        """What stands in the settle queue."""
        return [(one.device, one.label) for one in self.messages if one.queue == "settle"]

    def of(self, queue: Queue) -> list[Message]:
        return [one for one in self.messages if one.queue == queue]

    def take(self, queue: Queue) -> list[Message]:
        """What stands in a queue, which is empty afterwards."""
        taken = self.of(queue)
        self.messages = [one for one in self.messages if one.queue != queue]
        return taken


def _cut(delay: int) -> int:
    return min(max(0, delay), LONGEST_DELAY)
