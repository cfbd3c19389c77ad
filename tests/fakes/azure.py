"""Key Vault, DPS, the hubs and the queues, in memory."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from shared.core.certificate import Certificate
from shared.core.errors import Misconfigured
from shared.core.identity import DeviceId, RegistrationKey, registration_key
from shared.core.rotation import Slot, Slots
from shared.flows.ports import Enrollment, HubIdentity, StaleVersionError
from tests.fakes.calls import Calls

_TEXT = "the service is not set up correctly"


@dataclass
class FakeSecrets:
    """`get` may be minutes old in truth; here both are what stands in `values`."""

    calls: Calls = field(default_factory=Calls)
    values: dict[str, str] = field(default_factory=dict)

    async def get(self, name: str) -> str:
        async with self.calls.to("secrets.get"):
            return self._value(name)

    async def get_fresh(self, name: str) -> str:
        async with self.calls.to("secrets.get_fresh"):
            return self._value(name)

    def _value(self, name: str) -> str:
        if not self.values.get(name):
            raise Misconfigured(_TEXT, cause=f"Key Vault has no secret {name}")
        return self.values[name]


@dataclass
class FakeEnrollments:
    """Individual enrollments of DPS: ids compare without case; a change needs the ETag that was read."""

    calls: Calls = field(default_factory=Calls)
    documents: dict[RegistrationKey, Enrollment] = field(default_factory=dict)
    hub_of: dict[RegistrationKey, str] = field(default_factory=dict)
    _etags: Iterator[int] = field(default_factory=itertools.count)

    async def read(self, device: DeviceId) -> Enrollment | None:
        async with self.calls.to("enrollments.read"):
            return self.documents.get(registration_key(device))

    async def put(
        self, device: DeviceId, hub_host: str, slot: Slot, certificate: Certificate, found: Enrollment | None
    ) -> None:
        async with self.calls.to("enrollments.put"):
            key = registration_key(device)
            there = self.documents.get(key)
            if found is not None and (there is None or there.document["etag"] != found.document["etag"]):
                raise StaleVersionError
            if found is None:
                self.hub_of[key] = hub_host
            slots = found.slots if found else Slots()
            thumbprint = certificate.thumbprint
            slots = replace(slots, primary=thumbprint) if slot == "primary" else replace(slots, secondary=thumbprint)
            self.documents[key] = Enrollment(slots, self._document(device, found))

    def touch(self, device: DeviceId) -> None:
        """Somebody else writes the enrollment: its ETag changes."""
        found = self.documents[registration_key(device)]
        self.documents[registration_key(device)] = replace(found, document=self._document(device, found))

    def slots(self, device: DeviceId) -> Slots:
        found = self.documents.get(registration_key(device))
        return found.slots if found else Slots()

    def _document(self, device: DeviceId, found: Enrollment | None) -> Mapping[str, object]:
        kept = found.document if found else {"registrationId": device, "provisioningStatus": "enabled"}
        return {**kept, "etag": f'"{next(self._etags)}"'}


@dataclass
class FakeHubs:
    """Hub names compare without case, device ids with it."""

    names: tuple[str, ...] = ("hub-a", "hub-b")
    calls: Calls = field(default_factory=Calls)
    identities: dict[tuple[str, DeviceId], HubIdentity] = field(default_factory=dict)

    async def identity(self, hub: str, device: DeviceId) -> HubIdentity | None:
        async with self.calls.to("hubs.identity"):
            if hub.lower() not in (name.lower() for name in self.names):
                raise Misconfigured("the hub is not one of ours", cause=hub)
            return self.identities.get((hub.lower(), device))

    def put(self, hub: str, device: DeviceId, *thumbprints: str) -> None:
        self.identities[hub.lower(), device] = HubIdentity(thumbprints, enabled=True)


@dataclass
class FakeWork:
    """`settling` are the messages that stand in the settle queue."""

    calls: Calls = field(default_factory=Calls)
    settling: list[tuple[DeviceId, str]] = field(default_factory=list)

    async def settle(self, device: DeviceId, label: str) -> None:
        async with self.calls.to("work.settle"):
            self.settling.append((device, label))
