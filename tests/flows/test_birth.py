"""A device is born, and asks again: the same request has one certificate, a new key another, up to the daily limit."""

import base64
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from shared.core.certificate import certificate
from shared.core.errors import Forbidden, Malformed, NotFound, Throttled, Unsupported
from shared.core.principal import FactoryDevice, PasscodeHolder
from shared.flows.enroll import Enrolled
from tests.fakes.clock import START
from tests.fakes.devices import Device
from tests.fakes.world import PASSCODE, Fakes, born_by_passcode, fakes

pytestmark = pytest.mark.anyio


async def test_a_device_with_a_factory_certificate_gets_its_birth_certificate(world: Fakes) -> None:
    device = world.device()
    born = await world.birth(device)
    (made,) = world.ca.issued
    assert born.issued.certificate == certificate(made)
    factory = x509.load_der_x509_certificate(base64.b64decode(device.presents.certificate))
    who = FactoryDevice(device.id, thumbprint=factory.fingerprint(hashes.SHA256()).hex())
    assert (born.device_id, born.principal) == ("dev-1", who)


async def test_the_ledger_knows_the_device_its_certificate_and_when_it_is_due(world: Fakes) -> None:
    born = (await world.birth(world.device())).issued
    known = world.ledger.read(world.device().id)
    assert known.device is not None
    assert (known.device.label, known.device.latest, known.device.issued_count) == (
        "devices",
        born.certificate.serial,
        1,
    )
    assert known.certificates == (born,)
    assert (born.source, born.digicert_id, born.label) == ("est", f"id-{born.certificate.serial}", "devices")
    assert world.ledger.thumbprints == {born.certificate.thumbprint: "dev-1"}
    ((due, serial),) = world.ledger.due
    assert (due - START.date()).days in (71, 72)
    assert serial == born.certificate.serial


async def test_a_birth_costs_one_read_one_claim_and_one_transaction(world: Fakes) -> None:
    await world.birth(world.device())
    first = ["chain.fetch", "ledger.load", "ledger.claim", "upstream.issue", *["watermarks.put"] * 2, "ledger.record"]
    assert world.calls.made == first


async def test_a_device_with_the_passcode_gets_its_birth_certificate() -> None:
    world = born_by_passcode("refuse")
    born = await world.birth(Device("dev-1").with_password(PASSCODE))
    assert born.principal == PasscodeHolder("device")
    assert len(world.ca.issued) == 1


async def test_the_ledger_says_how_the_certificate_was_asked_for(world: Fakes) -> None:
    assert (await world.birth(world.device())).issued.source == "est"


async def test_the_same_request_signed_anew_gets_the_same_certificate(world: Fakes) -> None:
    device = world.device()
    first = await world.birth(device)
    world.clock.forward(days=30)
    again = await world.birth(device)
    assert again.issued == first.issued
    assert len(world.ca.issued) == 1


async def test_the_same_request_late_in_the_certificates_life_is_a_renewal(world: Fakes) -> None:
    device = world.device()
    first = await world.birth(device)
    world.clock.forward(days=80)
    second = await world.birth(device)
    assert second.issued.certificate.spki_sha256 == first.issued.certificate.spki_sha256
    assert second.issued.certificate.not_after > first.issued.certificate.not_after
    assert await world.birth(device) == second


async def test_a_lost_answer_of_a_birth_by_passcode_can_be_asked_for_again() -> None:
    """Though the passcode enrolls new devices only, and the ledger knows this one now."""
    world = born_by_passcode("refuse")
    device = Device("dev-1").with_password(PASSCODE)
    assert (await world.birth(device)).issued == (await world.birth(device)).issued
    assert len(world.ca.issued) == 1


async def test_a_passcode_for_new_devices_neither_takes_over_nor_renews_an_existing_one() -> None:
    world = born_by_passcode("refuse")
    device = Device("dev-1").with_password(PASSCODE)
    await world.birth(device)
    with pytest.raises(Forbidden, match="new devices only"):
        await world.post(device.with_new_key())
    world.clock.forward(days=80)
    with pytest.raises(Forbidden, match="new devices only"):
        await world.post(device)


async def test_a_passcode_for_all_devices_gives_a_certificate_for_a_new_key() -> None:
    world = born_by_passcode("accept")
    device = Device("dev-1").with_password(PASSCODE)
    first, second = await world.birth(device), await world.birth(device.with_new_key())
    assert first.issued != second.issued


async def test_each_new_key_is_a_new_certificate_until_the_daily_limit() -> None:
    world = fakes(daily_limit=3)
    serials = {(await world.birth(world.device())).issued.certificate.serial for _ in range(3)}
    assert len(serials) == 3
    with pytest.raises(Throttled, match="its limit of 3 certificates a day") as refused:
        await world.post(world.device())
    assert refused.value.retry_after == 15 * 3600  # it is nine in the morning, UTC
    assert world.upstream.orders == 3


async def test_the_limit_does_not_hinder_a_certificate_that_is_there() -> None:
    world = fakes(daily_limit=1)
    device = world.device()
    first = await world.birth(device)
    assert await world.birth(device) == first


async def test_the_limit_ends_at_midnight_utc_and_is_each_devices_own() -> None:
    world = fakes(daily_limit=1)
    await world.birth(world.device("dev-1"))
    await world.birth(world.device("dev-2"))
    world.clock.set(START.replace(hour=23, minute=59, second=59))
    with pytest.raises(Throttled) as refused:
        await world.post(world.device("dev-1"))
    assert refused.value.retry_after == 60
    world.clock.forward(seconds=60)
    await world.birth(world.device("dev-1"))
    assert len(world.ca.issued) == 3


async def test_a_renewal_by_the_same_request_counts_like_any_other() -> None:
    world = fakes(daily_limit=1)
    device = world.device()
    await world.birth(device)
    world.clock.forward(days=80)
    await world.birth(device)
    with pytest.raises(Throttled):
        await world.post(device.with_new_key())


async def test_the_answer_holds_the_names_that_were_asked_for(world: Fakes) -> None:
    device = replace(world.device("Dev-1"), san="dev-1")
    assert isinstance(await world.post(device), Enrolled)
    with pytest.raises(Forbidden, match="nothing but the device id"):
        await world.post(replace(device, san="other"))


async def test_there_is_no_other_label_than_those_of_the_profiles(world: Fakes) -> None:
    with pytest.raises(NotFound):
        await world.post(world.device(), label="unknown")
    with pytest.raises(NotFound):
        await world.enroll.ca_certificates("unknown")
    assert isinstance(await world.post(world.device(), label="devices"), Enrolled)


async def test_a_body_of_another_kind_is_refused_before_anything_is_asked(world: Fakes) -> None:
    submission = world.device().submission()
    with pytest.raises(Unsupported):
        await world.enroll.enroll("", replace(submission, content_type="text/plain"))
    with pytest.raises(Malformed):
        await world.enroll.enroll("", replace(submission, body=b"MIIB"))
    assert world.calls.made == []


async def test_a_refusal_tells_the_log_which_device_it_was(world: Fakes) -> None:
    world.upstream.behaves = ["refuse"]
    with pytest.raises(Exception, match="refused") as refused:
        await world.post(world.device())
    assert getattr(refused.value, "device_id", None) == "dev-1"
