"""What Birthcert tells the world of a device's life: the data of its CloudEvents."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared.core.identity import DeviceId

type Kind = Literal[
    "adopted", "issued", "renewed", "settled", "nudged", "expiring", "blocked", "revoked", "restored", "decommissioned"
]


@dataclass(frozen=True, slots=True)
class LifecycleEvent:
    """One thing that happened to a device. `id` is the same however often the event is sent: CloudEvents id.

    `data` holds what a subscriber may want to know: serial, thumbprint, not_after, hub, reason, … and never a secret.
    """

    id: str
    kind: Kind
    device_id: DeviceId
    time: datetime
    data: Mapping[str, str] = field(default_factory=dict)


def event(kind: Kind, device: DeviceId, time: datetime, about: str, **data: str) -> LifecycleEvent:
    """An event whose id says what happened to what (`about`: a serial, a saga id): repeating a step repeats its id."""
    return LifecycleEvent(f"{kind}-{about}", kind, device, time, data)
