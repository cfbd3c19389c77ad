"""A connected device whose renewals are played by the test, beside Microsoft's service SDK."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.connected import Connected
from sandbox.device import DeviceError, Identity
from sandbox.dps.state import thumbprint
from sandbox.iot_hub.state import Hub, new_identity, self_signed
from tests.sandbox.azure import Azure, play
from tests.sandbox.support import Device


def identity(device: Device) -> Identity:
    return Identity(device.key, device.chain)


def admitted(stage: Azure, hub: Hub, *devices: Device) -> None:
    """The hub knows dev-1 by the certificates of `devices`, one or two."""
    slots = self_signed(*[thumbprint(device.leaf) for device in (devices[0], devices[-1])])
    if "dev-1" in hub.devices:
        hub.replace(hub.devices["dev-1"], new_identity(slots))
    else:
        hub.create("dev-1", new_identity(slots))
    stage.events.clear()


@dataclass
class Life:
    """A connected device whose renewals are played by the test."""

    stage: Azure
    next: list[Device] = field(default_factory=list)
    registered: list[Identity] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def device(self, present: Device, hub: Hub | None = None) -> Connected:
        stage = self.stage
        return Connected(
            (hub or stage.hub_a).host,
            identity(present),
            lambda each: stage.context(Device(present.key, each.chain) if each.key is present.key else self.of(each)),
            self.renew,
            self.register,
            self.told.append,
        )

    def of(self, wanted: Identity) -> Device:
        return next(each for each in self.next if each.leaf == wanted.leaf)

    def renew(self, old: Identity) -> Identity:
        if not self.next:
            raise DeviceError("simpleenroll: 403 the device is blocked")
        fresh = self.next[0]
        assert fresh.leaf != old.leaf
        return identity(fresh)

    def register(self, fresh: Identity) -> str:
        self.registered.append(fresh)
        hub = self.stage.hub_a
        own = thumbprint(fresh.leaf)
        hub.provision("dev-1", self_signed(own, own), {}, {})
        return hub.host


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def staged(folder: Path, blocking: Callable[[Life], None]) -> None:
    """Runs what blocks (the device, the SDK) beside the stand-ins."""

    async def scenario(stage: Azure) -> None:
        await asyncio.to_thread(blocking, Life(stage))

    play(folder, scenario)


def journal(stage: Azure, event: str) -> list[dict[str, Any]]:
    return [entry for entry in list(stage.world.journal.entries) if entry["event"] == event]
