"""Lifecycle events out of the ledger's outbox into the topic: at least once, and never in a device's way."""

from dataclasses import dataclass
from typing import Final

from shared.core.errors import Unavailable
from shared.core.fleet import Change
from shared.core.identity import DeviceId
from shared.flows.ports.ledger import Ledger, StaleVersionError
from shared.flows.ports.work import Announcements

_ATTEMPTS: Final = 4


@dataclass(frozen=True)
class Announce:
    """An event leaves the outbox only after the topic has taken it; a crash in between sends it again, same id."""

    ledger: Ledger
    announcements: Announcements

    async def flush(self, device: DeviceId) -> int:
        """Publish what is in the device's outbox; how many events that were. Raises Unavailable."""
        published: set[str] = set()
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(device)
            if known.device is None or not known.outbox:
                return len(published)
            fresh = [event for event in known.outbox if event.id not in published]
            if fresh:
                await self.announcements.publish(fresh)
                published.update(event.id for event in fresh)
            try:
                await self.ledger.commit(known, Change(known.device, published=tuple(published)))
            except StaleVersionError:
                continue  # the device changed meanwhile, and may have more to tell
            return len(published)
        raise Unavailable("the device's record is changing too fast", retry_after=5)
