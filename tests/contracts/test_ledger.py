"""The ledger: a partition is read whole, changes at once or not at all, and only as it was read."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest

from shared.core.certificate import Certificate
from shared.core.errors import Unavailable
from shared.core.fleet import Change, Claim, Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.flows.ports.ledger import Ledger, StaleVersionError
from tests.contracts.outside import Outside
from tests.fakes.ledger import FakeLedger

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 2, 9, 8, 7, 654321, tzinfo=UTC)
DUE = date(2026, 5, 13)
KEY, OTHER_KEY = "a" * 64, "b" * 64


@dataclass
class Subject:
    ledger: Ledger
    dead: Ledger


@pytest.fixture
def subject(real: Outside | None) -> Subject:
    if real is not None:
        return Subject(real.ledger, real.dead_ledger)
    dead = FakeLedger()
    dead.calls.fail("", lambda: Unavailable("no", retry_after=2), times=99)
    return Subject(FakeLedger(), dead)


@pytest.fixture
def ledger(subject: Subject) -> Ledger:
    return subject.ledger


def a_device(name: DeviceId) -> Device:
    return Device(name, "devices", created=NOW)


def open_claim(key: str = KEY) -> Claim:
    return Claim(key, "open", NOW + timedelta(seconds=30))


def a_certificate(serial: str = "0a1b", der: bytes = b"\x30\x00") -> LedgerCertificate:
    end = NOW + timedelta(days=90)
    kept = Certificate(der, serial, serial * 16, serial * 10, "cc" * 32, "CN=Zürich\\, 東京", "CN=ICA", NOW, end)
    return LedgerCertificate(kept, "devices", "rest", digicert_id="00000000-0000-4000-8000-000000000001")


async def issued(ledger: Ledger, device: DeviceId, serial: str = "0a1b") -> Snapshot:
    """The device with a certificate, as a new reading shows it."""
    claimed = await ledger.claim(await ledger.load(device, KEY), a_device(device), open_claim())
    done = replace(open_claim(), state="issued", serial=serial)
    await ledger.record(claimed, done, Change(replace(a_device(device), latest=serial), (a_certificate(serial),)), DUE)
    return await ledger.load(device, KEY)


async def test_of_an_unknown_device_nothing_is_known(ledger: Ledger, device: DeviceId) -> None:
    assert await ledger.load(device, KEY) == Snapshot()
    assert await ledger.load(device) == Snapshot()


async def test_what_claiming_returns_is_what_a_reading_shows(ledger: Ledger, device: DeviceId) -> None:
    claimed = await ledger.claim(await ledger.load(device, KEY), a_device(device), open_claim())
    assert claimed == await ledger.load(device, KEY)
    assert (claimed.device, claimed.claim) == (a_device(device), open_claim())


async def test_of_two_who_claim_at_once_one_succeeds(ledger: Ledger, device: DeviceId) -> None:
    nothing = await ledger.load(device, KEY)
    await ledger.claim(nothing, a_device(device), open_claim())
    with pytest.raises(StaleVersionError):
        await ledger.claim(nothing, a_device(device), open_claim())


async def test_two_claims_of_a_device_do_not_overlook_each_other(ledger: Ledger, device: DeviceId) -> None:
    """Both change the device's row: the daily count stands there."""
    first, second = await ledger.load(device, KEY), await ledger.load(device, OTHER_KEY)
    await ledger.claim(first, a_device(device), open_claim())
    with pytest.raises(StaleVersionError):
        await ledger.claim(second, a_device(device), open_claim(OTHER_KEY))
    known = await ledger.load(device, OTHER_KEY)
    assert (known.device, known.claim) == (a_device(device), None)
    await ledger.claim(known, a_device(device), open_claim(OTHER_KEY))


async def test_a_claim_may_be_taken_again_with_the_versions_that_claiming_returned(
    ledger: Ledger, device: DeviceId
) -> None:
    claimed = await ledger.claim(await ledger.load(device, KEY), a_device(device), open_claim())
    pending = replace(open_claim(), state="pending")
    again = await ledger.claim(claimed, replace(a_device(device), issued_count=2), pending)
    assert again == await ledger.load(device, KEY)
    with pytest.raises(StaleVersionError):
        await ledger.claim(claimed, a_device(device), open_claim())


async def test_a_claim_that_was_removed_can_neither_be_changed_nor_removed_again(
    ledger: Ledger, device: DeviceId
) -> None:
    claimed = await ledger.claim(await ledger.load(device, KEY), a_device(device), open_claim())
    await ledger.release(claimed, replace(a_device(device), issued_count=7))
    known = await ledger.load(device, KEY)
    assert (known.device, known.claim) == (replace(a_device(device), issued_count=7), None)
    with pytest.raises(StaleVersionError):
        await ledger.release(claimed, a_device(device))
    with pytest.raises(StaleVersionError):
        await ledger.claim(claimed, a_device(device), open_claim())


async def test_a_claim_that_was_never_made_can_be_released(ledger: Ledger, device: DeviceId) -> None:
    await ledger.commit(await ledger.load(device), Change(a_device(device)))
    await ledger.release(await ledger.load(device, KEY), a_device(device))
    assert (await ledger.load(device, KEY)).claim is None


async def test_a_record_is_device_claim_and_certificate_in_one(ledger: Ledger, device: DeviceId) -> None:
    known = await issued(ledger, device)
    assert known.device == replace(a_device(device), latest="0a1b")
    assert known.claim == Claim(KEY, "issued", open_claim().lease_until, "0a1b")
    assert known.certificates == (a_certificate(),)


async def test_a_stale_record_writes_nothing(ledger: Ledger, device: DeviceId) -> None:
    claimed = await ledger.claim(await ledger.load(device, KEY), a_device(device), open_claim())
    await ledger.commit(await ledger.load(device), Change(replace(a_device(device), hub="hub-a")))
    with pytest.raises(StaleVersionError):
        await ledger.record(claimed, open_claim(), Change(a_device(device), (a_certificate(),)), DUE)
    known = await ledger.load(device, KEY)
    assert (known.device, known.claim) == (replace(a_device(device), hub="hub-a"), open_claim())
    assert known.certificates == ()


async def test_the_same_certificate_may_be_recorded_twice(ledger: Ledger, device: DeviceId) -> None:
    known = await issued(ledger, device)
    assert known.device is not None
    assert known.claim is not None
    await ledger.record(known, known.claim, Change(known.device, (a_certificate(),)), DUE)
    assert (await ledger.load(device, KEY)).certificates == (a_certificate(),)


async def test_a_claim_is_seen_under_its_own_key_and_certificates_under_all(ledger: Ledger, device: DeviceId) -> None:
    await issued(ledger, device)
    for key in (OTHER_KEY, ""):
        known = await ledger.load(device, key)
        assert known.claim is None
        assert known.certificates == (a_certificate(),)


async def test_all_certificates_are_seen_in_the_order_of_their_serials(ledger: Ledger, device: DeviceId) -> None:
    serials = ["ff", "0a", "10", "9"]
    for serial in serials:
        known = await ledger.load(device, KEY)
        await ledger.record(known, open_claim(), Change(a_device(device), (a_certificate(serial),)), DUE)
    known = await ledger.load(device)
    assert [one.certificate.serial for one in known.certificates] == sorted(serials)


async def test_a_big_certificate_is_kept_whole(ledger: Ledger, device: DeviceId) -> None:
    big = a_certificate(der=bytes(range(256)) * 240)
    known = await ledger.load(device, KEY)
    await ledger.record(known, open_claim(), Change(a_device(device), (big,)), DUE)
    assert (await ledger.load(device)).certificates == (big,)


async def test_saving_a_device_needs_it_as_it_was_read(ledger: Ledger, device: DeviceId) -> None:
    nothing = await ledger.load(device)
    await ledger.commit(nothing, Change(a_device(device)))
    known = await ledger.load(device)
    with pytest.raises(StaleVersionError):
        await ledger.commit(nothing, Change(a_device(device)))
    await ledger.commit(known, Change(replace(a_device(device), hub="hub-a")))
    with pytest.raises(StaleVersionError):
        await ledger.commit(known, Change(a_device(device)))


async def test_a_device_may_be_saved_while_a_claim_of_it_is_read(ledger: Ledger, device: DeviceId) -> None:
    known = await issued(ledger, device)
    assert known.device is not None
    await ledger.commit(known, Change(replace(known.device, hub="hub-a")))
    again = await ledger.load(device, KEY)
    assert (again.claim, again.certificates) == (known.claim, known.certificates)


async def test_ids_that_differ_in_case_alone_are_one_partition(ledger: Ledger, device: DeviceId) -> None:
    await issued(ledger, device)
    other = DeviceId(device.upper())
    known = await ledger.load(other, KEY)
    assert known == await ledger.load(device, KEY)
    with pytest.raises(StaleVersionError):
        await ledger.claim(await ledger.load(other, OTHER_KEY), a_device(other), open_claim(KEY))


@pytest.mark.parametrize("suffix", [":b", "_3ab", ".b", "-b", "_b", "__b", "..b", ":::", "'b", "b-"])
async def test_odd_characters_make_no_partition_of_another_device(
    ledger: Ledger, device: DeviceId, suffix: str
) -> None:
    odd = DeviceId(f"{device}{suffix}")
    await issued(ledger, odd, "0c")
    await ledger.commit(await ledger.load(device), Change(a_device(device)))
    known = await ledger.load(odd, KEY)
    assert (known.device, known.certificates) == (replace(a_device(odd), latest="0c"), (a_certificate("0c"),))
    assert (await ledger.load(device)).certificates == ()


async def test_the_longest_id_is_an_id_like_any_other(ledger: Ledger, device: DeviceId) -> None:
    longest = DeviceId(device + ":" * (63 - len(device)) + "-")
    assert (await issued(ledger, longest)).device == replace(a_device(longest), latest="0a1b")


async def test_a_store_that_does_not_answer_is_unavailable(subject: Subject, device: DeviceId) -> None:
    known = await subject.ledger.load(device, KEY)
    with pytest.raises(Unavailable):
        await subject.dead.load(device, KEY)
    with pytest.raises(Unavailable):
        await subject.dead.claim(known, a_device(device), open_claim())
    with pytest.raises(Unavailable):
        await subject.dead.release(known, a_device(device))
    with pytest.raises(Unavailable):
        await subject.dead.record(known, open_claim(), Change(a_device(device), (a_certificate(),)), DUE)
    with pytest.raises(Unavailable):
        await subject.dead.commit(known, Change(a_device(device)))
