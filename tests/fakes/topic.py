"""The topic of lifecycle events, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.core.lifecycle import LifecycleEvent
from tests.fakes.calls import Calls


@dataclass
class FakeAnnouncements:
    """`published` is all that went out, with what went out twice."""

    calls: Calls = field(default_factory=Calls)
    published: list[LifecycleEvent] = field(default_factory=list)

    async def publish(self, events: Sequence[LifecycleEvent]) -> None:
        async with self.calls.to("announcements.publish"):
            self.published += events

    @property
    def ids(self) -> set[str]:
        return {event.id for event in self.published}
