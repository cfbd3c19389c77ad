"""Who is connected, and the events that tell of it.

https://learn.microsoft.com/azure/iot-hub/iot-hub-event-grid#device-connected-and-device-disconnected-events: not each
change is told, but a snapshot every 60 seconds (here: shorter), so that flapping within it is lost. Devices that speak
HTTPS only are never told of, the others from their first subscription or message on.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sandbox.iot_hub.events import connection_event
from sandbox.world import World

Json = dict[str, Any]

SNAPSHOT: Final = 0.5  # seconds
FILETIME: Final = datetime(1601, 1, 1, tzinfo=UTC)


@dataclass
class Presence:
    """`told` is what the last event said of a device, `now` how it is at this moment."""

    hub: str
    world: World
    raise_event: Callable[[Json], None]
    snapshot: float = SNAPSHOT
    told: set[str] = field(default_factory=set)
    now: set[str] = field(default_factory=set)
    sequence: int = 0
    timer: asyncio.TimerHandle | None = None

    def changed(self, device_id: str, *, connected: bool) -> None:
        (self.now.add if connected else self.now.discard)(device_id)
        if self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(self.snapshot, self._tell)

    def _tell(self) -> None:
        self.timer = None
        for device_id in sorted(self.now ^ self.told):
            kind = "DeviceConnected" if device_id in self.now else "DeviceDisconnected"
            moment = self.world.clock.now()
            self.raise_event(connection_event(kind, self.hub, device_id, self._next(moment), moment))
        self.told = set(self.now)

    def _next(self, moment: datetime) -> str:
        """64 hexadecimal digits, strictly rising also when the clock is put back; the sample's middle is a FILETIME.

        https://learn.microsoft.com/azure/iot-hub/iot-hub-how-to-order-connection-state-events
        """
        ticks = int((moment - FILETIME).total_seconds() * 10_000_000)
        self.sequence = max(ticks << 128 | 2 << 96 | 1, self.sequence + 1)
        return f"{self.sequence:064X}"
