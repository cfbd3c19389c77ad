"""What was begun and not finished: sagas that a crash left, events that no queue message told of."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from shared.core.errors import Refusal
from shared.core.identity import DeviceId
from shared.flows.announce import Announce
from shared.flows.ports.index import Hints, Unfinished
from shared.flows.ports.ledger import Ledger
from shared.flows.revoke import Revoke


@dataclass(frozen=True, slots=True)
class Stuck:
    """A saga that cannot go on, since when it was begun, or a device whose events cannot be published."""

    device_id: DeviceId
    kind: Unfinished
    since: datetime | None
    cause: str


@dataclass(frozen=True, slots=True)
class Swept:
    """`failures` are what nobody foresaw. Their devices are stuck, too; whoever has told so raises them."""

    finished: int
    stuck: tuple[Stuck, ...]
    failures: tuple[Exception, ...] = ()


type _Finish = Callable[[DeviceId], Awaitable[Stuck | None]]


@dataclass(frozen=True)
class Sweep:
    """Goes through the hints. One device that fails, in whatever way, does not keep the others waiting."""

    ledger: Ledger
    hints: Hints
    revoke: Revoke
    announce: Announce

    async def run(self) -> Swept:
        """Finish what can be finished; what cannot is told, for the alert. Raises Unavailable without hints."""
        finished = 0
        stuck: list[Stuck] = []
        failures: list[Exception] = []
        ways: tuple[tuple[Unfinished, _Finish], ...] = (("saga", self._saga), ("outbox", self._outbox))
        for kind, finish in ways:
            async for device in self.hints.unfinished(kind):
                try:
                    trouble = await finish(device)
                except Exception as error:  # noqa: BLE001 - whatever it is, it would meet each sweep at this device
                    failures.append(error)
                    trouble = Stuck(device, kind, None, repr(error))
                finished += trouble is None
                stuck += [trouble] if trouble else []
        return Swept(finished, tuple(stuck), tuple(failures))

    async def _saga(self, device: DeviceId) -> Stuck | None:
        """Go on with a saga; what keeps it from ending, when there is something."""
        try:
            await self.revoke.advance(device)
            await self.hints.drop("saga", device)  # it is done, or there is none
        except Refusal as refusal:
            return Stuck(device, "saga", await self._begun(device), refusal.cause or refusal.public)
        return None

    async def _outbox(self, device: DeviceId) -> Stuck | None:
        """Publish its events; what keeps them from it, when there is something."""
        try:
            await self.announce.flush(device)
            await self.hints.drop("outbox", device)
        except Refusal as refusal:
            return Stuck(device, "outbox", None, refusal.cause or refusal.public)
        return None

    async def _begun(self, device: DeviceId) -> datetime | None:
        try:
            saga = (await self.ledger.load(device)).saga
        except Refusal:
            return None
        return saga.begun if saga else None
