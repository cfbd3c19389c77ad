"""Lifecycle events out of the ledger's outbox into the topic: at least once, and never in a device's way."""

import contextlib
from dataclasses import dataclass
from typing import Final

from shared.core.errors import Unavailable
from shared.core.fleet import Change, Snapshot
from shared.core.identity import DeviceId
from shared.flows.ports.ledger import Ledger, StaleVersionError
from shared.flows.ports.work import Announcements, Work

_ATTEMPTS: Final = 4
# No device waits for a queue at its birth: these go out with the next message, or by the sweep.
_WITHOUT_MESSAGE: Final = ("issued", "renewed")


async def tell(work: Work, known: Snapshot, change: Change) -> None:
    """Have the events of a change published that was made to what was known.

    If others were in the outbox, the message for those is still on its way and publishes these too. A second message
    would be handled beside it, and both would publish everything.
    """
    told = known.outbox and not any(one.kind in _WITHOUT_MESSAGE for one in known.outbox)
    if change.events and not told:
        with contextlib.suppress(Unavailable):  # the ledger has left a hint, by which the sweep finds them
            await work.publish(change.device.device_id)


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
