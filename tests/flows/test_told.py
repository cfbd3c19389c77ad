"""What the outbox holds after a certificate was issued: it is written with the certificate, in one step."""

import pytest

from shared.core.errors import Unavailable
from shared.core.identity import registration_key
from shared.core.lifecycle import LifecycleEvent
from shared.flows.ports.ledger import StaleVersionError
from tests.fakes.devices import Device
from tests.fakes.world import Fakes

pytestmark = pytest.mark.anyio


def told(world: Fakes, device: Device) -> list[LifecycleEvent]:
    return [one for one in world.ledger.read(device.id).outbox if one.kind in ("issued", "renewed")]


async def test_a_first_certificate_is_told_as_issued(world: Fakes) -> None:
    device = world.device()
    made = (await world.birth(device)).issued.certificate
    (event,) = told(world, device)
    assert (event.id, event.kind, event.device_id) == (f"issued-{made.serial}", "issued", device.id)
    assert event.data == {
        "serial": made.serial,
        "thumbprint": made.thumbprint,
        "not_after": made.not_after.isoformat(),
        "label": "devices",
    }
    assert ("outbox", registration_key(device.id)) in world.ledger.hints


async def test_every_later_certificate_is_told_as_renewed(world: Fakes) -> None:
    device = world.device()
    born = await world.birth(device)
    await world.birth(device.with_new_key().with_issued(born.issued))  # with the certificate that it renews
    await world.birth(device.with_new_key())  # aziot-certd makes a new key at each try
    assert sorted(event.kind for event in told(world, device)) == ["issued", "renewed", "renewed"]


async def test_the_same_certificate_given_again_is_told_once(world: Fakes) -> None:
    device = world.device()
    for _ in range(3):
        await world.birth(device)
    assert len(told(world, device)) == 1


async def test_a_record_that_is_written_twice_is_the_same_event(world: Fakes) -> None:
    device = world.device()
    world.calls.fail("ledger.record", StaleVersionError, moment="after")
    made = (await world.birth(device)).issued.certificate
    assert [event.id for event in told(world, device)] == [f"issued-{made.serial}"]


async def test_of_a_certificate_that_was_not_recorded_nothing_is_told(world: Fakes) -> None:
    device = world.device()
    world.calls.fail("ledger.record", lambda: Unavailable("down", retry_after=1))
    with pytest.raises(Unavailable):
        await world.birth(device)
    assert told(world, device) == []
