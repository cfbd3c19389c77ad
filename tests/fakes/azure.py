"""Key Vault, DPS, the hubs and the queues, in memory."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from shared.core.certificate import Certificate
from shared.core.errors import Misconfigured
from shared.core.identity import DeviceId, RegistrationKey, registration_key
from shared.core.rotation import Slot, Slots
from shared.flows.ports.dps import Enrollment
from shared.flows.ports.hubs import HubIdentity
from shared.flows.ports.ledger import StaleVersionError
from tests.fakes.calls import Calls

_TEXT = "the service is not set up correctly"


@dataclass
class FakeSecrets:
    """`get` may be minutes old in truth; here both are what stands in `values`. `forgotten` are names as they came."""

    calls: Calls = field(default_factory=Calls)
    values: dict[str, str] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)

    async def get(self, name: str) -> str:
        async with self.calls.to("secrets.get"):
            return self._value(name)

    async def get_fresh(self, name: str) -> str:
        async with self.calls.to("secrets.get_fresh"):
            return self._value(name)

    async def forget(self, name: str) -> bool:
        async with self.calls.to("secrets.forget"):
            self.forgotten.append(name)
            return name.lower() in map(str.lower, self.values)

    def _value(self, name: str) -> str:
        if not self.values.get(name):
            raise Misconfigured(_TEXT, cause=f"Key Vault has no secret {name}")
        return self.values[name]


@dataclass
class FakeEnrollments:
    """Individual enrollments of DPS: ids compare without case; a change needs the ETag that was read.

    `registrations` are the hosts of the hubs that DPS has assigned devices to.
    """

    calls: Calls = field(default_factory=Calls)
    documents: dict[RegistrationKey, Enrollment] = field(default_factory=dict)
    hub_of: dict[RegistrationKey, str] = field(default_factory=dict)
    registrations: dict[RegistrationKey, str] = field(default_factory=dict)
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

    async def block(self, device: DeviceId) -> None:
        async with self.calls.to("enrollments.block"):
            found = self.documents.get(registration_key(device))
            if found is None:
                found = Enrollment(Slots(), self._document(device, None) | {_BLOCKS: True})
            self._set_status(device, found, "disabled")

    async def unblock(self, device: DeviceId) -> None:
        async with self.calls.to("enrollments.unblock"):
            found = self.documents.get(registration_key(device))
            if found is not None and found.document.get(_BLOCKS):
                del self.documents[registration_key(device)]
            elif found is not None:
                self._set_status(device, found, "enabled")

    async def registration(self, device: DeviceId) -> str | None:
        async with self.calls.to("enrollments.registration"):
            return self.registrations.get(registration_key(device))

    def is_blocked(self, device: DeviceId) -> bool:
        found = self.documents.get(registration_key(device))
        return found is not None and found.document["provisioningStatus"] == "disabled"

    def touch(self, device: DeviceId) -> None:
        """Somebody else writes the enrollment: its ETag changes."""
        found = self.documents[registration_key(device)]
        self.documents[registration_key(device)] = replace(found, document=self._document(device, found))

    def slots(self, device: DeviceId) -> Slots:
        found = self.documents.get(registration_key(device))
        return found.slots if found else Slots()

    def _set_status(self, device: DeviceId, found: Enrollment, status: str) -> None:
        document = {**self._document(device, found), "provisioningStatus": status}
        self.documents[registration_key(device)] = replace(found, document=document)

    def _document(self, device: DeviceId, found: Enrollment | None) -> dict[str, object]:
        kept = found.document if found else {"registrationId": device, "provisioningStatus": "enabled"}
        return {**kept, "etag": f'"{next(self._etags)}"'}


_BLOCKS = "made to keep the device out"


@dataclass
class Twin:
    """`methods` are the direct methods that the device answers; None while it is not online."""

    tags: dict[str, object] = field(default_factory=dict)
    desired: dict[str, object] = field(default_factory=dict)
    reported: str = ""
    methods: frozenset[str] | None = None
    invoked: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)


@dataclass
class FakeHubs:
    """Hub names compare without case, device ids with it. `document` of an identity is its ETag.

    `identities` and `twins` are kept by lower-case hub name. The twin of a device is made at its first use.
    """

    names: tuple[str, ...] = ("hub-a", "hub-b")
    calls: Calls = field(default_factory=Calls)
    identities: dict[tuple[str, DeviceId], HubIdentity] = field(default_factory=dict)
    twins: dict[tuple[str, DeviceId], Twin] = field(default_factory=dict)
    reasons: dict[tuple[str, DeviceId], str] = field(default_factory=dict)
    _etags: Iterator[int] = field(default_factory=itertools.count)

    async def identity(self, hub: str, device: DeviceId) -> HubIdentity | None:
        async with self.calls.to("hubs.identity"):
            return self.identities.get(self._key(hub, device))

    async def put_thumbprints(self, hub: str, device: DeviceId, found: HubIdentity, slots: Slots) -> None:
        async with self.calls.to("hubs.put_thumbprints"):
            there = self._unchanged(hub, device, found)
            self._write(hub, device, replace(there, primary=slots.primary, secondary=slots.secondary))

    async def set_enabled(self, hub: str, device: DeviceId, found: HubIdentity, *, enabled: bool, why: str) -> None:
        async with self.calls.to("hubs.set_enabled"):
            self._write(hub, device, replace(self._unchanged(hub, device, found), enabled=enabled, why=why))
            self.reasons[self._key(hub, device)] = why

    async def remove(self, hub: str, device: DeviceId) -> None:
        async with self.calls.to("hubs.remove"):
            self.identities.pop(self._key(hub, device), None)
            self.twins.pop(self._key(hub, device), None)

    async def tag(self, hub: str, device: DeviceId, tags: Mapping[str, object]) -> None:
        async with self.calls.to("hubs.tag"):
            if self._key(hub, device) in self.identities:
                self.twin(hub, device).tags.update(tags)

    async def desire(self, hub: str, device: DeviceId, properties: Mapping[str, object]) -> bool:
        async with self.calls.to("hubs.desire"):
            there = self._key(hub, device) in self.identities
            if there:
                self.twin(hub, device).desired.update(properties)
            return there

    async def reported_serial(self, hub: str, device: DeviceId) -> str:
        async with self.calls.to("hubs.reported_serial"):
            return self.twin(hub, device).reported if self._key(hub, device) in self.identities else ""

    async def invoke(self, hub: str, device: DeviceId, method: str, payload: Mapping[str, object]) -> bool:
        async with self.calls.to("hubs.invoke"):
            there = self._key(hub, device) in self.identities
            if not there or method not in (self.twin(hub, device).methods or ()):
                return False
            self.twin(hub, device).invoked.append((method, payload))
            return True

    def put(self, hub: str, device: DeviceId, primary: str, secondary: str = "") -> None:
        """Somebody else writes the identity, DPS for example."""
        there = self.identities.get((hub.lower(), device))
        self._write(hub, device, HubIdentity(primary, secondary, there.enabled if there else True))

    def lets_in(self, hub: str, device: DeviceId, certificate: Certificate) -> bool:
        """Whether the hub accepts the certificate: it knows the thumbprint, and the device is not disabled."""
        there = self.identities.get((hub.lower(), device))
        own = (certificate.thumbprint, certificate.thumbprint_sha1)
        return there is not None and there.enabled and any(one.lower() in own for one in there.thumbprints)

    def twin(self, hub: str, device: DeviceId) -> Twin:
        return self.twins.setdefault((hub.lower(), device), Twin())

    def _key(self, hub: str, device: DeviceId) -> tuple[str, DeviceId]:
        if hub.lower() not in (name.lower() for name in self.names):
            raise Misconfigured("the hub is not one of ours", cause=hub)
        return hub.lower(), device

    def _unchanged(self, hub: str, device: DeviceId, found: HubIdentity) -> HubIdentity:
        there = self.identities.get(self._key(hub, device))
        if there is None or there.document != found.document:
            raise StaleVersionError
        return there

    def _write(self, hub: str, device: DeviceId, identity: HubIdentity) -> None:
        self.identities[hub.lower(), device] = replace(identity, document=next(self._etags))
