"""The index tables: what is due, what may be unfinished, whose a certificate is, and the timers' watermarks."""

import asyncio
import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest

from shared.adapters.ledger_index import TableHints, TableIndex, TableSchedule, TableWatermarks
from shared.core.certificate import Certificate
from shared.core.errors import Unavailable
from shared.core.fleet import Change, Claim, Device, LedgerCertificate
from shared.core.identity import DeviceId
from shared.core.lifecycle import event
from shared.core.revocation import Reason, saga
from shared.flows.ports.index import Due, Hints, Index, Schedule, Unfinished, Watermarks
from shared.flows.ports.ledger import Ledger, StaleVersionError
from tests.contracts.outside import Outside
from tests.fakes.index import FakeHints, FakeIndex, FakeSchedule, FakeWatermarks
from tests.fakes.ledger import FakeLedger

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 2, 9, 8, 7, tzinfo=UTC)
KINDS: tuple[Unfinished, ...] = ("saga", "outbox")


@dataclass
class Subject:
    """`patient_hints` leave hints alone that are younger than an hour; to `hints` all are old enough."""

    ledger: Ledger
    schedule: Schedule
    hints: Hints
    patient_hints: Hints
    watermarks: Watermarks
    index: Index


def _over_tables(real: Outside, *, dead: bool = False) -> Subject:
    ledger = real.dead_ledger if dead else real.ledger
    tables = ledger.tables
    old = timedelta(minutes=-1)  # the clock in the store's answers has whole seconds
    hints, patient = TableHints(tables, old), TableHints(tables, timedelta(hours=1))
    return Subject(ledger, TableSchedule(tables), hints, patient, TableWatermarks(tables), TableIndex(tables))


def _in_memory(*, dead: bool = False) -> Subject:
    ledger = FakeLedger()
    if dead:
        ledger.calls.fail("", lambda: Unavailable("no", retry_after=2), times=99)
    calls = ledger.calls
    hints, patient = FakeHints(ledger, calls, timedelta(0)), FakeHints(ledger, calls, timedelta(hours=1))
    return Subject(ledger, FakeSchedule(ledger, calls), hints, patient, FakeWatermarks(calls), FakeIndex(ledger, calls))


@pytest.fixture
def subject(real: Outside | None) -> Subject:
    return _over_tables(real) if real is not None else _in_memory()


@pytest.fixture
def dead(real: Outside | None) -> Subject:
    return _over_tables(real, dead=True) if real is not None else _in_memory(dead=True)


@pytest.fixture
def day() -> date:
    """A day that no other test has: what the sandbox holds stays for the session."""
    return date(2027, 1, 1) + timedelta(days=secrets.randbelow(1_000_000))


def a_certificate() -> LedgerCertificate:
    der = secrets.token_bytes(40)
    thumbprint, sha1 = hashlib.sha256(der).hexdigest(), hashlib.sha1(der, usedforsecurity=False).hexdigest()
    serial = "a" + secrets.token_hex(9)
    end = NOW + timedelta(days=90)
    kept = Certificate(der, serial, thumbprint, sha1, "cc" * 32, "CN=d", "CN=ICA", NOW, end)
    return LedgerCertificate(kept, "devices", "est")


def a_change(device: DeviceId, *certificates: LedgerCertificate, kind: Unfinished | None = None) -> Change:
    known = Device(device, "devices", created=NOW)
    match kind:
        case "saga":
            opened = saga("s", "hold", Reason.UNSPECIFIED, NOW, caller="ops", comment="")
            return Change(known, certificates, saga=opened)
        case "outbox":
            return Change(known, certificates, events=(event("issued", device, NOW, "0a"),))
        case None:
            return Change(known, certificates)


async def recorded(subject: Subject, device: DeviceId, day: date) -> Certificate:
    kept = a_certificate()
    claim = Claim("a" * 64, "issued", NOW, kept.certificate.serial)
    await subject.ledger.record(await subject.ledger.load(device, claim.key), claim, a_change(device, kept), day)
    return kept.certificate


async def due(subject: Subject, day: date) -> list[Due]:
    return sorted([one async for one in subject.schedule.due(day)], key=lambda one: one.serial)


async def unfinished(hints: Hints, what: Unfinished, device: DeviceId) -> list[DeviceId]:
    """What the hints say of this device; other tests have left theirs."""
    return [one async for one in hints.unfinished(what) if one.lower() == device.lower()]


@pytest.mark.parametrize("suffix", ["", ":_~", "-B"])
async def test_a_recorded_certificate_is_due_on_its_day(
    subject: Subject, device: DeviceId, day: date, suffix: str
) -> None:
    named = DeviceId(device + suffix.replace("~", ".") + "-")
    certificate = await recorded(subject, named, day)
    assert await due(subject, day) == [Due(named, certificate.serial)]
    assert await due(subject, day + timedelta(days=1)) == []


async def test_what_is_put_down_for_a_day_is_due_then_until_it_is_dropped(
    subject: Subject, device: DeviceId, day: date
) -> None:
    first, second = Due(device, "0a"), Due(device, "0b")
    for one in (first, second, first):
        await subject.schedule.add(one, day)
    assert await due(subject, day) == [first, second]
    for _ in range(2):
        await subject.schedule.drop(first, day)
    await subject.schedule.drop(second, day + timedelta(days=1))
    assert await due(subject, day) == [second]


async def test_a_day_of_any_size_is_read_while_it_is_worked_off(subject: Subject, device: DeviceId, day: date) -> None:
    """A page of Table Storage has a thousand rows."""
    expected = {f"{number:04x}" for number in range(1_030)}
    serials = sorted(expected)
    for begin in range(0, len(serials), 103):
        some = serials[begin : begin + 103]
        await asyncio.gather(*(subject.schedule.add(Due(device, one), day) for one in some))
    seen = []
    async for one in subject.schedule.due(day):
        seen.append(one.serial)
        if len(seen) % 50 == 0:
            await subject.schedule.drop(one, day)
    assert len(seen) == len(expected)
    assert set(seen) == expected
    async for one in subject.schedule.due(day):  # who has enough may leave
        assert one.device_id == device
        break


async def test_a_certificate_leads_to_its_device(subject: Subject, device: DeviceId, day: date) -> None:
    certificate = await recorded(subject, device, day)
    for thumbprint in (certificate.thumbprint, certificate.thumbprint_sha1):
        assert await subject.index.by_thumbprint(thumbprint) == device
        assert await subject.index.by_thumbprint(thumbprint.upper()) == device
    assert await subject.index.by_serial(certificate.serial) == device
    assert await subject.index.by_serial("00" + certificate.serial.upper()) == device


@pytest.mark.parametrize("name", ["", "0", "a", "f" * 40, "f" * 64, "a/b", "#?\\ \t", "…", "a" * 2_000])
async def test_what_is_no_certificate_of_ours_leads_nowhere(subject: Subject, name: str) -> None:
    assert await subject.index.by_thumbprint(name) is None
    assert await subject.index.by_serial(name) is None


@pytest.mark.parametrize("what", KINDS)
async def test_a_step_that_leaves_something_to_do_leaves_a_hint(
    subject: Subject, device: DeviceId, what: Unfinished
) -> None:
    await subject.ledger.commit(await subject.ledger.load(device), a_change(device, kind=what))
    found = {of: await unfinished(subject.hints, of, device) for of in KINDS}
    assert found == {"saga": [], "outbox": [], what: [device]}


@pytest.mark.parametrize("what", KINDS)
async def test_the_hint_comes_before_the_step(subject: Subject, device: DeviceId, what: Unfinished) -> None:
    """So it is there, too, when nobody knows whether the step was written."""
    nothing = await subject.ledger.load(device)
    await subject.ledger.commit(nothing, a_change(device))
    with pytest.raises(StaleVersionError):
        await subject.ledger.commit(nothing, a_change(device, kind=what))
    assert await unfinished(subject.hints, what, device) == [device]


async def test_a_record_with_an_event_leaves_a_hint(subject: Subject, device: DeviceId, day: date) -> None:
    change = a_change(device, a_certificate(), kind="outbox")
    await subject.ledger.record(await subject.ledger.load(device), Claim("b" * 64, "issued", NOW, "0a"), change, day)
    assert await unfinished(subject.hints, "outbox", device) == [device]


async def test_a_step_of_an_open_saga_needs_no_hint_of_its_own(subject: Subject, device: DeviceId) -> None:
    known = await subject.ledger.commit(await subject.ledger.load(device), a_change(device, kind="saga"))
    await subject.hints.drop("saga", device)
    await subject.ledger.commit(known, a_change(device, kind="saga"))
    assert await unfinished(subject.hints, "saga", device) == []


@pytest.mark.parametrize("what", KINDS)
async def test_a_hint_is_dropped_alone_and_may_be_gone(subject: Subject, device: DeviceId, what: Unfinished) -> None:
    other = DeviceId(device + "-2")
    for one in (device, other):
        await subject.ledger.commit(await subject.ledger.load(one), a_change(one, kind=what))
    for _ in range(2):
        await subject.hints.drop(what, device)
    assert await unfinished(subject.hints, what, device) == []
    assert await unfinished(subject.hints, what, other) == [other]


@pytest.mark.parametrize("what", KINDS)
async def test_a_young_hint_stays_as_its_step_may_still_come(
    subject: Subject, device: DeviceId, what: Unfinished
) -> None:
    await subject.ledger.commit(await subject.ledger.load(device), a_change(device, kind=what))
    await subject.patient_hints.drop(what, device)
    assert await unfinished(subject.hints, what, device) == [device]


async def test_a_watermark_is_what_was_last_put_there(subject: Subject, device: DeviceId) -> None:
    """Names are as free as the URLs of CRLs are."""
    names = [f"{device} http://crl.example/ica 1.crl?x=#1{end}" for end in ("", "/", "x" * 300, "x" * 301)]
    assert [await subject.watermarks.get(name) for name in names] == [""] * 4
    for number, name in enumerate(names):
        await subject.watermarks.put(name, "earlier")
        await subject.watermarks.put(name, f'"etag {number}" é')
    assert [await subject.watermarks.get(name) for name in names] == [f'"etag {number}" é' for number in range(4)]
    await subject.watermarks.put(names[0], "x" * 32_000)
    assert await subject.watermarks.get(names[0]) == "x" * 32_000
    await subject.watermarks.put(names[0], "")
    assert await subject.watermarks.get(names[0]) == ""


async def test_a_store_that_does_not_answer_is_unavailable(dead: Subject, device: DeviceId, day: date) -> None:
    one = Due(device, "0a")
    with pytest.raises(Unavailable):
        await due(dead, day)
    with pytest.raises(Unavailable):
        await unfinished(dead.hints, "saga", device)
    calls = (
        dead.schedule.add(one, day),
        dead.schedule.drop(one, day),
        dead.hints.drop("saga", device),
        dead.watermarks.get("scan"),
        dead.watermarks.put("scan", ""),
        dead.index.by_thumbprint("ff" * 32),
        dead.index.by_serial("ff"),
    )
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, Unavailable)
