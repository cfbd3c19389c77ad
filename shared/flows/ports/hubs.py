"""What the flows need of the IoT Hubs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from shared.core.identity import DeviceId
from shared.core.rotation import Slots


@dataclass(frozen=True, slots=True)
class HubIdentity:
    """The device as the IoT Hub registry holds it. `primary` and `secondary` are thumbprints as they stand there.

    `why` is its statusReason: who has disabled it.

    `document` is the SDK's own form of it, opaque to flows: it goes back whole, so that nothing else is touched.
    """

    primary: str
    secondary: str
    enabled: bool
    why: str = ""
    document: object = None

    @property
    def thumbprints(self) -> tuple[str, ...]:
        return tuple(one for one in (self.primary, self.secondary) if one)


class Hubs(Protocol):
    """The registries and twins of the linked IoT Hubs. All raise Unavailable.

    And Misconfigured for a hub that is unknown, lets us do nothing, or says no to what it is asked (400, 413): it would
    say the same again, so an operator must look at it.
    """

    async def identity(self, hub: str, device: DeviceId) -> HubIdentity | None:
        """The device's identity; None when the hub has none."""
        ...

    async def put_thumbprints(self, hub: str, device: DeviceId, found: HubIdentity, slots: Slots) -> None:
        """Replace both thumbprints of what was found, with If-Match. Raises StaleVersionError."""
        ...

    async def set_enabled(self, hub: str, device: DeviceId, found: HubIdentity, *, enabled: bool, why: str) -> None:
        """Enable or disable the identity that was found, with If-Match. Raises StaleVersionError."""
        ...

    async def remove(self, hub: str, device: DeviceId) -> None:
        """Delete the identity; it may be gone already."""
        ...

    async def tag(self, hub: str, device: DeviceId, tags: Mapping[str, object]) -> None:
        """Merge `certificate: tags` into the twin's tags. An identity that is gone is no error."""
        ...

    async def desire(self, hub: str, device: DeviceId, properties: Mapping[str, object]) -> bool:
        """Merge `certificate: properties` into the desired properties. False when the identity is gone."""
        ...

    async def reported_serial(self, hub: str, device: DeviceId) -> str:
        """`properties.reported.certificate.serial` of the twin, lower-case hex, or an empty string."""
        ...

    async def invoke(self, hub: str, device: DeviceId, method: str, payload: Mapping[str, object]) -> bool:
        """Call a direct method. False when the device is not online or does not know it."""
        ...
