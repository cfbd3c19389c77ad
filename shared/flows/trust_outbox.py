"""Changes of enrollment groups on their way to the topic. They are of no device, so no device's outbox holds them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from shared.core.issuer import TrustChanged
from shared.core.rotation import Slots
from shared.flows.ports.index import Watermarks
from shared.flows.ports.work import Announcements

# A watermark has room for so many. CAs are replaced once in months: more pile up only where somebody undoes each one.
MOST: Final = 16


@dataclass(frozen=True)
class TrustOutbox:
    """A change is kept before the group is changed, and forgotten after the topic has taken it: at least once.

    All raise Unavailable.
    """

    watermarks: Watermarks
    announcements: Announcements

    async def left(self, group: str, slots: Slots) -> tuple[TrustChanged, ...]:
        """What is still to be told of a group whose slots are these now.

        The last change never came to be if the slots are as they were before it: then it is forgotten.
        """
        text = await self.watermarks.get(_name(group))
        kept = tuple(_change(one) for one in json.loads(text)) if text else ()
        if kept and kept[-1].before == slots:
            kept = kept[:-1]
            await self._put(group, kept)
        return kept

    async def keep(self, group: str, left: Sequence[TrustChanged], change: TrustChanged) -> tuple[TrustChanged, ...]:
        """Add what is about to be done; of more than there is room for, the oldest go."""
        kept = (*left, change)[-MOST:]
        await self._put(group, kept)
        return kept

    async def publish(self, group: str, left: Sequence[TrustChanged]) -> None:
        """Raises what the topic raises, too: then all of it is still to be told."""
        if left:
            await self.announcements.publish(left)
            await self._put(group, ())

    async def _put(self, group: str, kept: Sequence[TrustChanged]) -> None:
        text = json.dumps([dataclasses.asdict(one) | {"time": one.time.isoformat()} for one in kept])
        await self.watermarks.put(_name(group), text)


def _name(group: str) -> str:
    return f"trust-{group}"


def _change(kept: Mapping[str, Any]) -> TrustChanged:
    return TrustChanged(
        id=kept["id"],
        group=kept["group"],
        time=datetime.fromisoformat(kept["time"]),
        before=Slots(**kept["before"]),
        after=Slots(**kept["after"]),
        added=tuple(kept["added"]),
        removed=tuple(kept["removed"]),
    )
