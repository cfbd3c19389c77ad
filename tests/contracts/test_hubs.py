"""Registries and twins of the hubs: an identity is read whole, and of what is written back only one part changes."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import pytest

from shared.core.errors import Misconfigured, Unavailable
from shared.core.identity import DeviceId
from shared.core.rotation import Slots
from shared.flows.ports.hubs import HubIdentity, Hubs
from shared.flows.ports.ledger import StaleVersionError
from tests.contracts.outside import Outside
from tests.fakes.azure import FakeHubs
from tests.fakes.calls import Calls

pytestmark = pytest.mark.anyio

OLD, NEW, THIRD = "A1" * 32, "b2" * 32, "c3" * 32


@dataclass
class Subject:
    port: Hubs
    fake: FakeHubs
    real: Outside | None

    async def has(self, hub: str, device: DeviceId, *, enabled: bool = True) -> None:
        """The device stands in the hub's registry with two thumbprints, and is an IoT Edge device."""
        if self.real is None:
            self.fake.put(hub, device, OLD, NEW)
            found = self.fake.identities[hub, device]
            self.fake.identities[hub, device] = replace(found, enabled=enabled)
            return
        status = "enabled" if enabled else "disabled"
        make = self._registry(hub).create_device_with_x509
        await asyncio.to_thread(make, device, OLD, NEW, status, iot_edge=True, status_reason="as it was")

    async def whole(self, hub: str, device: DeviceId) -> dict[str, Any]:
        """All that the registry says of the device, without what changes at each write."""
        if self.real is None:
            return {}
        found = (await asyncio.to_thread(self._registry(hub).get_device, device)).as_dict()
        return {key: value for key, value in found.items() if key not in ("etag", "authentication")}

    async def twin(self, hub: str, device: DeviceId) -> tuple[Any, Any]:
        """`certificate` of the tags and of the desired properties."""
        if self.real is None:
            twin = self.fake.twin(hub, device)
            return twin.tags, twin.desired
        found = await asyncio.to_thread(self._registry(hub).get_twin, device)
        return (found.tags or {}).get("certificate", {}), found.properties.desired.get("certificate", {})

    def answers(self, status: int) -> None:
        """The hub's next answers."""
        if self.real is not None:
            for _ in range(4):
                self.real.sandbox.fault("IoT Hub", "status", status=status, headers={"Retry-After": "60"})

    def falls_silent(self) -> None:
        if self.real is None:
            self.fake.calls.fail("", lambda: Unavailable("no", retry_after=5), times=9)
        else:
            self.real.sandbox.fault("IoT Hub", "drop", times=20)

    def _registry(self, hub: str) -> Any:  # noqa: ANN401 - the SDK ships no types
        assert self.real is not None
        return self.real.hubs._registry(self.real.hub_hosts[hub])


@pytest.fixture
def subject(real: Outside | None) -> Subject:
    fake = FakeHubs(calls=Calls())
    return Subject(real.hubs if real else fake, fake, real)


async def identity(subject: Subject, device: DeviceId, hub: str = "hub-a") -> HubIdentity:
    found = await subject.port.identity(hub, device)
    assert found is not None
    return found


async def test_of_an_unknown_device_there_is_no_identity(subject: Subject, device: DeviceId) -> None:
    assert await subject.port.identity("hub-a", device) is None


async def test_an_identity_has_its_thumbprints_as_they_stand_there(subject: Subject, device: DeviceId) -> None:
    await subject.has("hub-a", device)
    found = await identity(subject, device)
    assert (found.primary, found.secondary, found.enabled) == (OLD, NEW, True)
    assert found.thumbprints == (OLD, NEW)
    assert await subject.port.identity("hub-b", device) is None


async def test_an_identity_may_be_disabled(subject: Subject, device: DeviceId) -> None:
    await subject.has("hub-b", device, enabled=False)
    assert not (await identity(subject, device, "hub-b")).enabled


async def test_hubs_are_called_without_case_and_devices_with_it(subject: Subject, device: DeviceId) -> None:
    await subject.has("hub-a", device)
    assert await subject.port.identity("HUB-A", device) is not None
    assert await subject.port.identity("hub-a", DeviceId(device.upper())) is None


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("slots", [Slots(NEW, THIRD), Slots(THIRD, THIRD), Slots(THIRD)])
async def test_thumbprints_are_replaced_and_nothing_else(
    subject: Subject, device: DeviceId, slots: Slots, *, enabled: bool
) -> None:
    await subject.has("hub-a", device, enabled=enabled)
    before = await subject.whole("hub-a", device)
    await subject.port.put_thumbprints("hub-a", device, await identity(subject, device), slots)
    after = await identity(subject, device)
    assert (after.primary, after.secondary, after.enabled) == (slots.primary, slots.secondary, enabled)
    assert await subject.whole("hub-a", device) == before


async def test_an_identity_is_disabled_and_enabled_and_its_thumbprints_stay(subject: Subject, device: DeviceId) -> None:
    await subject.has("hub-a", device)
    for enabled in (False, True):
        found = await identity(subject, device)
        await subject.port.set_enabled("hub-a", device, found, enabled=enabled, why="x" * 200)
        after = await identity(subject, device)
        assert (after.primary, after.secondary, after.enabled) == (OLD, NEW, enabled)


async def test_what_others_have_written_since_is_not_overwritten(subject: Subject, device: DeviceId) -> None:
    await subject.has("hub-a", device)
    found = await identity(subject, device)
    await subject.port.put_thumbprints("hub-a", device, found, Slots(NEW, THIRD))
    with pytest.raises(StaleVersionError):
        await subject.port.put_thumbprints("hub-a", device, found, Slots(THIRD))
    with pytest.raises(StaleVersionError):
        await subject.port.set_enabled("hub-a", device, found, enabled=False, why="")
    assert (await identity(subject, device)).thumbprints == (NEW, THIRD)


async def test_what_is_gone_is_not_made_again(subject: Subject, device: DeviceId) -> None:
    await subject.has("hub-a", device)
    found = await identity(subject, device)
    for _ in range(2):
        await subject.port.remove("hub-a", device)
    with pytest.raises(StaleVersionError):
        await subject.port.put_thumbprints("hub-a", device, found, Slots(NEW))
    assert await subject.port.identity("hub-a", device) is None


async def test_tags_and_wishes_are_merged_into_the_twin(subject: Subject, device: DeviceId) -> None:
    await subject.has("hub-a", device)
    await subject.port.tag("hub-a", device, {"serial": "1a", "profile": "devices"})
    await subject.port.tag("hub-a", device, {"serial": "2b"})
    assert await subject.port.desire("hub-a", device, {"renew": "1a"})
    assert await subject.port.desire("hub-a", device, {"renew": "2b", "urgency": "soon"})
    tags, desired = await subject.twin("hub-a", device)
    assert tags == {"serial": "2b", "profile": "devices"}
    assert desired == {"renew": "2b", "urgency": "soon"}


async def test_the_twin_of_a_device_that_is_gone_is_no_failure(subject: Subject, device: DeviceId) -> None:
    await subject.port.tag("hub-a", device, {"serial": "1a"})
    assert not await subject.port.desire("hub-a", device, {"renew": "1a"})
    assert await subject.port.reported_serial("hub-a", device) == ""
    assert not await subject.port.invoke("hub-a", device, "renew", {})


async def test_a_device_that_reports_nothing_and_is_not_online_is_no_failure(
    subject: Subject, device: DeviceId
) -> None:
    await subject.has("hub-a", device)
    assert await subject.port.reported_serial("hub-a", device) == ""
    assert not await subject.port.invoke("hub-a", device, "renew", {"serial": "1a"})


async def test_a_hub_that_is_not_ours_is_a_matter_for_the_operator(subject: Subject, device: DeviceId) -> None:
    with pytest.raises(Misconfigured):
        await subject.port.identity("hub-x", device)
    with pytest.raises(Misconfigured):
        await subject.port.tag("hub-x", device, {})


async def test_a_hub_that_is_silent_is_unavailable(subject: Subject, device: DeviceId) -> None:
    subject.falls_silent()
    with pytest.raises(Unavailable):
        await subject.port.identity("hub-a", device)


async def test_a_hub_that_throttles_says_when_to_come_again(subject: Subject, device: DeviceId) -> None:
    if subject.real is None:
        pytest.skip("the fake knows no statuses")
    subject.answers(429)
    with pytest.raises(Unavailable) as refused:
        await subject.port.identity("hub-a", device)
    assert refused.value.retry_after == 60


async def test_a_hub_that_refuses_us_is_a_matter_for_the_operator(subject: Subject, device: DeviceId) -> None:
    if subject.real is None:
        pytest.skip("the fake knows no statuses")
    subject.answers(401)
    with pytest.raises(Misconfigured):
        await subject.port.identity("hub-a", device)


@pytest.mark.parametrize("status", [400, 413])
async def test_what_a_hub_would_refuse_again_is_a_matter_for_the_operator(
    subject: Subject, device: DeviceId, status: int
) -> None:
    if subject.real is None:
        pytest.skip("the fake knows no statuses")
    subject.answers(status)
    with pytest.raises(Misconfigured, match="refuses what it is asked"):
        await subject.port.identity("hub-a", device)
