"""Individual enrollments of DPS: one slot is written and all else stays, under the ETag that was read."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from sandbox import pki
from shared.core.certificate import Certificate, certificate
from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from shared.core.rotation import Slots
from shared.flows.ports.dps import Enrollment, Enrollments
from shared.flows.ports.ledger import StaleVersionError
from tests.contracts.outside import Outside
from tests.fakes.azure import FakeEnrollments
from tests.fakes.calls import Calls
from tests.fakes.devices import new_key

pytestmark = pytest.mark.anyio

AUTHORITY = pki.factory_authority(datetime.now(UTC) - timedelta(days=1))
CHANGING = {"etag", "lastUpdatedDateTimeUtc", "attestation"}


@dataclass
class Subject:
    port: Enrollments
    calls: Calls
    real: Outside | None

    @property
    def hub(self) -> str:
        return self.real.hub_hosts["hub-a"] if self.real else "hub-a.azure-devices.net"

    def falls_silent(self, *, throttles: bool = False) -> None:
        if self.real is not None:
            status = 429 if throttles else 503
            self.real.sandbox.fault("DPS", "status", status=status, headers={"Retry-After": "60"})
        else:
            for name in ("enrollments.read", "enrollments.put"):
                self.calls.fail(name, lambda: Unavailable("no", retry_after=5))


@pytest.fixture
def subject(real: Outside | None) -> Subject:
    calls = Calls()
    return Subject(real.enrollments if real else FakeEnrollments(calls), calls, real)


def new_certificate(device: DeviceId) -> Certificate:
    return certificate(pki.issue_leaf(AUTHORITY, device, new_key().public_key(), datetime.now(UTC)))


async def created(subject: Subject, device: DeviceId) -> tuple[Certificate, Enrollment]:
    first = new_certificate(device)
    await subject.port.put(device, subject.hub, "primary", first, None)
    return first, await found(subject, device)


async def found(subject: Subject, device: DeviceId) -> Enrollment:
    enrollment = await subject.port.read(device)
    assert enrollment is not None
    return enrollment


async def test_of_an_unknown_device_there_is_no_enrollment(subject: Subject, device: DeviceId) -> None:
    assert await subject.port.read(device) is None


async def test_an_enrollment_is_made_with_one_certificate(subject: Subject, device: DeviceId) -> None:
    first, enrollment = await created(subject, device)
    assert enrollment.slots == Slots(first.thumbprint)


async def test_a_second_certificate_stands_beside_the_first_and_nothing_else_changes(
    subject: Subject, device: DeviceId
) -> None:
    first, before = await created(subject, device)
    second = new_certificate(device)
    await subject.port.put(device, "elsewhere.azure-devices.net", "secondary", second, before)
    after = await found(subject, device)
    assert after.slots == Slots(first.thumbprint, second.thumbprint)
    assert _lasting(after) == _lasting(before)


async def test_each_slot_may_be_overwritten(subject: Subject, device: DeviceId) -> None:
    first, enrollment = await created(subject, device)
    second, third = new_certificate(device), new_certificate(device)
    await subject.port.put(device, subject.hub, "secondary", second, enrollment)
    await subject.port.put(device, subject.hub, "primary", third, await found(subject, device))
    assert (await found(subject, device)).slots == Slots(third.thumbprint, second.thumbprint)
    assert first.thumbprint != third.thumbprint


async def test_who_read_before_somebody_else_wrote_must_read_again(subject: Subject, device: DeviceId) -> None:
    first, before = await created(subject, device)
    second = new_certificate(device)
    await subject.port.put(device, subject.hub, "secondary", second, before)
    with pytest.raises(StaleVersionError):
        await subject.port.put(device, subject.hub, "secondary", new_certificate(device), before)
    assert (await found(subject, device)).slots == Slots(first.thumbprint, second.thumbprint)


async def test_where_nothing_was_found_what_was_made_since_is_replaced(subject: Subject, device: DeviceId) -> None:
    """DPS has no condition for it."""
    await created(subject, device)
    second = new_certificate(device)
    await subject.port.put(device, subject.hub, "primary", second, None)
    assert (await found(subject, device)).slots == Slots(second.thumbprint)


async def test_ids_are_compared_without_case(subject: Subject, device: DeviceId) -> None:
    first, _ = await created(subject, device)
    enrollment = await found(subject, DeviceId(device.upper()))
    assert enrollment.slots == Slots(first.thumbprint)


@pytest.mark.parametrize("odd", [":", "_", ".", "-"])
async def test_odd_ids_have_enrollments_too(subject: Subject, device: DeviceId, odd: str) -> None:
    first, enrollment = await created(subject, DeviceId(f"{device}{odd}1"))
    assert enrollment.slots == Slots(first.thumbprint)


@pytest.mark.parametrize("throttles", [False, True])
async def test_a_dps_that_is_silent_is_unavailable(subject: Subject, device: DeviceId, *, throttles: bool) -> None:
    subject.falls_silent(throttles=throttles)
    with pytest.raises(Unavailable):
        await subject.port.read(device)
    if subject.real is not None:
        subject.falls_silent(throttles=throttles)
    with pytest.raises(Unavailable):
        await subject.port.put(device, subject.hub, "primary", new_certificate(device), None)
    assert await subject.port.read(device) is None


def _lasting(enrollment: Enrollment) -> dict[str, object]:
    return {key: value for key, value in enrollment.document.items() if key not in CHANGING}
