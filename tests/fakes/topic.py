"""The topic of lifecycle events, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.core.issuer import TrustChanged
from shared.core.lifecycle import LifecycleEvent
from tests.fakes.calls import Calls


@dataclass
class FakeAnnouncements:
    """`published` and `trust` are all that went out of devices and of groups, with what went out twice."""

    calls: Calls = field(default_factory=Calls)
    published: list[LifecycleEvent] = field(default_factory=list)
    trust: list[TrustChanged] = field(default_factory=list)

    async def publish(self, events: Sequence[LifecycleEvent | TrustChanged]) -> None:
        async with self.calls.to("announcements.publish"):
            self.published += [one for one in events if isinstance(one, LifecycleEvent)]
            self.trust += [one for one in events if isinstance(one, TrustChanged)]

    @property
    def ids(self) -> set[str]:
        return {event.id for event in self.published}
