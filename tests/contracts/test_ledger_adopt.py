"""The ledger takes a certificate in that no claim of its own has led to: with its index rows, at once or not at all."""

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest

from shared.adapters.ledger_index import TableHints, TableIndex, TableSchedule
from shared.core.certificate import Certificate
from shared.core.errors import Unavailable
from shared.core.fleet import Change, Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.core.lifecycle import event
from shared.flows.ports.index import Due, Hints, Index, Schedule
from shared.flows.ports.ledger import Ledger, StaleVersionError
from tests.contracts.outside import Outside
from tests.fakes.index import FakeHints, FakeIndex, FakeSchedule
from tests.fakes.ledger import FakeLedger

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 2, 9, 8, 7, tzinfo=UTC)


@dataclass
class Subject:
    ledger: Ledger
    dead: Ledger
    index: Index
    schedule: Schedule
    hints: Hints


@pytest.fixture
def subject(real: Outside | None) -> Subject:
    if real is not None:
        tables = real.ledger.tables
        table_hints = TableHints(tables, timedelta(minutes=-1))  # the clock in the store's answers has whole seconds
        return Subject(real.ledger, real.dead_ledger, TableIndex(tables), TableSchedule(tables), table_hints)
    dead, ledger = FakeLedger(), FakeLedger()
    dead.calls.fail("", lambda: Unavailable("no", retry_after=2), times=99)
    calls = ledger.calls
    hints = FakeHints(ledger, calls, timedelta(0))
    return Subject(ledger, dead, FakeIndex(ledger, calls), FakeSchedule(ledger, calls), hints)


@pytest.fixture
def day() -> date:
    """A day that no other test has: what the sandbox holds stays for the session."""
    return date(2027, 1, 1) + timedelta(days=secrets.randbelow(1_000_000))


def a_certificate() -> LedgerCertificate:
    der = secrets.token_bytes(40)
    thumbprint, sha1 = hashlib.sha256(der).hexdigest(), hashlib.sha1(der, usedforsecurity=False).hexdigest()
    serial = "a" + secrets.token_hex(9)
    kept = Certificate(der, serial, thumbprint, sha1, "cc" * 32, "CN=d", "CN=ICA", NOW, NOW + timedelta(days=90))
    return LedgerCertificate(kept, "devices", source="adopted", digicert_id="id-1")


def a_change(device: DeviceId, one: LedgerCertificate) -> Change:
    told = event("adopted", device, NOW, one.certificate.serial)
    return Change(Device(device, "devices", created=NOW, latest=one.certificate.serial), (one,), events=(told,))


async def test_a_device_that_nobody_knew_is_there_with_its_certificate(
    subject: Subject, device: DeviceId, day: date
) -> None:
    one = a_certificate()
    change = a_change(device, one)
    written = await subject.ledger.adopt(await subject.ledger.load(device), change, day)
    assert written == await subject.ledger.load(device)
    assert (written.device, written.certificates, written.outbox) == (change.device, (one,), change.events)
    assert (written.claim, written.saga) == (None, None)


async def test_it_is_found_by_thumbprint_and_serial_and_is_due_when_it_is_due(
    subject: Subject, device: DeviceId, day: date
) -> None:
    one = a_certificate()
    await subject.ledger.adopt(await subject.ledger.load(device), a_change(device, one), day)
    assert await subject.index.by_thumbprint(one.certificate.thumbprint) == device
    assert await subject.index.by_serial(one.certificate.serial) == device
    assert [found async for found in subject.schedule.due(day)] == [Due(device, one.certificate.serial)]


async def test_what_is_learnt_of_it_later_takes_its_place(subject: Subject, device: DeviceId, day: date) -> None:
    """DigiCert ONE's id, and the form in which DigiCert ONE has it."""
    imported, told = replace(a_certificate(), digicert_id=""), a_certificate()
    told = replace(told, certificate=replace(told.certificate, serial=imported.certificate.serial))
    change = a_change(device, imported)
    known = await subject.ledger.adopt(await subject.ledger.load(device), change, day)
    written = await subject.ledger.adopt(known, Change(change.device, (told,)), day)
    assert written == await subject.ledger.load(device)
    assert written.certificates == (told,)
    assert await subject.index.by_thumbprint(told.certificate.thumbprint) == device
    with pytest.raises(StaleVersionError):
        await subject.ledger.adopt(known, Change(change.device, (imported,)), day)


async def test_its_event_is_not_forgotten_should_the_queue_lose_it(
    subject: Subject, device: DeviceId, day: date
) -> None:
    await subject.ledger.adopt(await subject.ledger.load(device), a_change(device, a_certificate()), day)
    assert device in [found async for found in subject.hints.unfinished("outbox")]


async def test_it_stands_beside_those_that_are_there(subject: Subject, device: DeviceId, day: date) -> None:
    first, second = a_certificate(), a_certificate()
    known = await subject.ledger.adopt(await subject.ledger.load(device), a_change(device, first), day)
    written = await subject.ledger.adopt(known, a_change(device, second), day)
    assert set(written.certificates) == {first, second}
    assert {told.id for told in written.outbox} == {
        event("adopted", device, NOW, one.certificate.serial).id for one in (first, second)
    }


async def test_of_two_who_take_it_in_at_once_one_succeeds(subject: Subject, device: DeviceId, day: date) -> None:
    one, nothing = a_certificate(), await subject.ledger.load(device)
    await subject.ledger.adopt(nothing, a_change(device, one), day)
    with pytest.raises(StaleVersionError):
        await subject.ledger.adopt(nothing, a_change(device, one), day)
    with pytest.raises(StaleVersionError):
        await subject.ledger.adopt(nothing, a_change(device, a_certificate()), day)
    assert (await subject.ledger.load(device)).certificates == (one,)


async def test_of_a_store_that_does_not_answer_nothing_is_known(subject: Subject, device: DeviceId, day: date) -> None:
    with pytest.raises(Unavailable):
        await subject.dead.adopt(Snapshot(), a_change(device, a_certificate()), day)
    assert await subject.ledger.load(device) == Snapshot()
