"""Keeping a device out of DPS, of a group or with an enrollment of its own, and letting it in again."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from sandbox import pki
from shared.core.certificate import Certificate, certificate
from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from shared.flows.ports.dps import Enrollment, Enrollments
from tests.contracts.outside import Outside
from tests.fakes.azure import FakeEnrollments
from tests.fakes.calls import Calls
from tests.fakes.devices import new_key

pytestmark = pytest.mark.anyio

AUTHORITY = pki.factory_authority(datetime.now(UTC) - timedelta(days=1))
CHANGING = {"etag", "lastUpdatedDateTimeUtc"}


@dataclass
class Subject:
    port: Enrollments
    calls: Calls
    real: Outside | None

    @property
    def hub(self) -> str:
        return self.real.hub_hosts["hub-a"] if self.real else "hub-a.azure-devices.net"

    async def found(self, device: DeviceId) -> Enrollment:
        found = await self.port.read(device)
        assert found is not None
        return found

    async def status(self, device: DeviceId) -> object:
        return (await self.found(device)).document["provisioningStatus"]


@pytest.fixture
def subject(real: Outside | None) -> Subject:
    calls = Calls()
    return Subject(real.enrollments if real else FakeEnrollments(calls), calls, real)


def new_certificate(device: DeviceId) -> Certificate:
    return certificate(pki.issue_leaf(AUTHORITY, device, new_key().public_key(), datetime.now(UTC)))


async def test_a_device_of_a_group_is_kept_out_by_an_enrollment_of_its_own(subject: Subject, device: DeviceId) -> None:
    await subject.port.block(device)
    await subject.port.block(device)
    assert await subject.status(device) == "disabled"
    if subject.real is not None:  # DPS asks for some attestation; this one, nobody can pass
        attestation = (await subject.found(device)).document["attestation"]
        assert attestation == {"type": "symmetricKey"}


async def test_a_group_device_that_is_let_in_again_belongs_to_its_group_alone(
    subject: Subject, device: DeviceId
) -> None:
    await subject.port.block(device)
    for _ in range(2):
        await subject.port.unblock(device)
        assert await subject.port.read(device) is None


async def test_an_enrollment_is_disabled_and_enabled_and_all_else_stays(subject: Subject, device: DeviceId) -> None:
    first, second = new_certificate(device), new_certificate(device)
    await subject.port.put(device, subject.hub, "primary", first, None)
    await subject.port.put(device, subject.hub, "secondary", second, await subject.found(device))
    before = await subject.found(device)
    await subject.port.block(device)
    blocked = await subject.found(device)
    assert blocked.slots == before.slots
    assert blocked.document["provisioningStatus"] == "disabled"
    for _ in range(2):
        await subject.port.unblock(device)
    after = await subject.found(device)
    assert after.slots == before.slots
    assert {key: value for key, value in after.document.items() if key not in CHANGING} == {
        key: value for key, value in before.document.items() if key not in CHANGING
    }


async def test_a_device_that_was_blocked_before_it_had_an_enrollment_has_none_afterwards(
    subject: Subject, device: DeviceId
) -> None:
    """The block could not be enabled: no certificate opens it. The settle queue makes a new one."""
    await subject.port.block(device)
    await subject.port.unblock(device)
    assert await subject.port.read(device) is None


async def test_registration_ids_are_blocked_without_regard_to_case(subject: Subject, device: DeviceId) -> None:
    await subject.port.block(DeviceId(device.upper()))
    assert await subject.status(device) == "disabled"


async def test_a_device_that_never_registered_has_no_registration(subject: Subject, device: DeviceId) -> None:
    assert await subject.port.registration(device) is None


async def test_a_dps_that_does_not_answer_is_unavailable(subject: Subject, device: DeviceId) -> None:
    for name in ("block", "unblock", "registration"):
        if subject.real is not None:
            subject.real.sandbox.fault("DPS", "status", status=503, headers={"Retry-After": "60"})
        else:
            subject.calls.fail(f"enrollments.{name}", lambda: Unavailable("no", retry_after=5))
    with pytest.raises(Unavailable):
        await subject.port.block(device)
    with pytest.raises(Unavailable):
        await subject.port.unblock(device)
    with pytest.raises(Unavailable):
        await subject.port.registration(device)
