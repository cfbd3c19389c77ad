"""What was begun and not finished: sagas that a crash left, events that no queue message told of."""

from dataclasses import dataclass
from datetime import datetime

from shared.core.errors import Refusal
from shared.core.identity import DeviceId
from shared.flows.announce import Announce
from shared.flows.ports.index import Hints
from shared.flows.ports.ledger import Ledger
from shared.flows.revoke import Revoke


@dataclass(frozen=True, slots=True)
class Stuck:
    """A saga that cannot go on, since when it was begun, or a device whose events cannot be published."""

    device_id: DeviceId
    kind: str
    since: datetime | None
    cause: str


@dataclass(frozen=True, slots=True)
class Swept:
    finished: int
    stuck: tuple[Stuck, ...]


@dataclass(frozen=True)
class Sweep:
    """Goes through the hints. One device that fails does not keep the others waiting."""

    ledger: Ledger
    hints: Hints
    revoke: Revoke
    announce: Announce

    async def run(self) -> Swept:
        """Finish what can be finished; what cannot is told, for the alert. Raises Unavailable without hints."""
        finished = 0
        stuck: list[Stuck] = []
        async for device in self.hints.unfinished("saga"):
            trouble = await self._saga(device)
            finished += trouble is None
            stuck += [trouble] if trouble else []
        async for device in self.hints.unfinished("outbox"):
            try:
                await self.announce.flush(device)
                await self.hints.drop("outbox", device)
            except Refusal as refusal:
                stuck.append(Stuck(device, "outbox", None, refusal.cause or refusal.public))
            else:
                finished += 1
        return Swept(finished, tuple(stuck))

    async def _saga(self, device: DeviceId) -> Stuck | None:
        """Go on with a saga; what keeps it from ending, when there is something."""
        try:
            await self.revoke.advance(device)
            await self.hints.drop("saga", device)  # it is done, or there is none
        except Refusal as refusal:
            return Stuck(device, "saga", await self._begun(device), refusal.cause or refusal.public)
        return None

    async def _begun(self, device: DeviceId) -> datetime | None:
        try:
            saga = (await self.ledger.load(device)).saga
        except Refusal:
            return None
        return saga.begun if saga else None
