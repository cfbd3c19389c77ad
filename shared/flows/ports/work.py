"""What the flows leave for later, and what they tell the world."""

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from shared.core.adoption import Seen
from shared.core.identity import DeviceId
from shared.core.issuer import TrustChanged
from shared.core.lifecycle import LifecycleEvent
from shared.flows.ports.index import Due


class Work(Protocol):
    """Queues for what must not be lost and need not be instant. All raise Unavailable. `delay` is in seconds."""

    async def settle(self, device: DeviceId, label: str, delay: int = 0, tries: int = 0) -> None:
        """Bring the device's entries in DPS and IoT Hub up to date. `tries` is how often that has failed."""
        ...

    async def nudge(self, due: Due, day: date, delay: int = 0) -> None:
        """Ask the device to renew, if it still has to."""
        ...

    async def saga(self, device: DeviceId, delay: int = 0) -> None:
        """Go on with the device's saga."""
        ...

    async def publish(self, device: DeviceId) -> None:
        """Publish what is in the device's outbox."""
        ...

    async def adopt(self, seen: Seen, delay: int = 0) -> None:
        """Find out what the certificate is, and take it in if it is ours."""
        ...


class Announcements(Protocol):
    """The Event Grid topic of lifecycle events, and of what enrollment groups trust."""

    async def publish(self, events: Sequence[LifecycleEvent | TrustChanged]) -> None:
        """At least once. Raises Unavailable, and Misconfigured where the topic refuses us."""
        ...
