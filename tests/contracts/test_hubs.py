"""The device registries: what a hub holds of a device, read whole and never from an event."""

import asyncio
from dataclasses import dataclass

import pytest

from shared.core.errors import Misconfigured, Unavailable
from shared.core.identity import DeviceId
from shared.flows.ports import HubIdentity, Hubs
from tests.contracts.outside import Outside
from tests.fakes.azure import FakeHubs
from tests.fakes.calls import Calls

pytestmark = pytest.mark.anyio

OLD, NEW = "A1" * 32, "b2" * 32


@dataclass
class Subject:
    port: Hubs
    fake: FakeHubs
    real: Outside | None

    async def has(self, hub: str, device: DeviceId, *, enabled: bool = True) -> None:
        """The device stands in the hub's registry with two thumbprints."""
        if self.real is None:
            self.fake.identities[hub, device] = HubIdentity((OLD, NEW), enabled)
            return
        registry = self.real.hubs._registry(self.real.hub_hosts[hub])
        status = "enabled" if enabled else "disabled"
        await asyncio.to_thread(registry.create_device_with_x509, device, OLD, NEW, status)

    def falls_silent(self) -> None:
        if self.real is None:
            self.fake.calls.fail("hubs.identity", lambda: Unavailable("no", retry_after=5))
        else:
            self.real.sandbox.fault("IoT Hub", "drop", times=20)


@pytest.fixture
def subject(real: Outside | None) -> Subject:
    fake = FakeHubs(calls=Calls())
    return Subject(real.hubs if real else fake, fake, real)


async def test_of_an_unknown_device_there_is_no_identity(subject: Subject, device: DeviceId) -> None:
    assert await subject.port.identity("hub-a", device) is None


async def test_an_identity_has_its_thumbprints_as_they_stand_there(subject: Subject, device: DeviceId) -> None:
    await subject.has("hub-a", device)
    assert await subject.port.identity("hub-a", device) == HubIdentity((OLD, NEW), enabled=True)
    assert await subject.port.identity("hub-b", device) is None


async def test_an_identity_may_be_disabled(subject: Subject, device: DeviceId) -> None:
    await subject.has("hub-b", device, enabled=False)
    assert await subject.port.identity("hub-b", device) == HubIdentity((OLD, NEW), enabled=False)


async def test_hubs_are_called_without_case_and_devices_with_it(subject: Subject, device: DeviceId) -> None:
    await subject.has("hub-a", device)
    assert await subject.port.identity("HUB-A", device) is not None
    assert await subject.port.identity("hub-a", DeviceId(device.upper())) is None


async def test_a_hub_that_is_not_ours_is_a_matter_for_the_operator(subject: Subject, device: DeviceId) -> None:
    with pytest.raises(Misconfigured):
        await subject.port.identity("hub-x", device)


async def test_a_hub_that_is_silent_is_unavailable(subject: Subject, device: DeviceId) -> None:
    subject.falls_silent()
    with pytest.raises(Unavailable):
        await subject.port.identity("hub-a", device)
