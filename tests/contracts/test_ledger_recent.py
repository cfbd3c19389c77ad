"""The last events of a device stay in the ledger, whichever step they came with and whether they are published."""

from datetime import UTC, date, datetime, timedelta

import pytest

from shared.core.certificate import Certificate
from shared.core.fleet import MOST_RECENT, Change, Claim, Device, LedgerCertificate, RecentEvent, Snapshot
from shared.core.identity import DeviceId
from shared.core.lifecycle import LifecycleEvent, event
from shared.core.revocation import Reason, saga
from shared.flows.ports.ledger import Ledger
from tests.contracts.outside import Outside
from tests.fakes.ledger import FakeLedger

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 2, 9, 8, 7, 654321, tzinfo=UTC)
DUE = date(2026, 5, 13)
CLAIM = Claim("a" * 64, "open", NOW)


@pytest.fixture
def ledger(real: Outside | None) -> Ledger:
    return FakeLedger() if real is None else real.ledger


def a_device(name: DeviceId) -> Device:
    return Device(name, "devices", created=NOW)


def a_certificate(serial: str) -> LedgerCertificate:
    end = NOW + timedelta(days=90)
    kept = Certificate(b"\x30\x00", serial, serial * 16, serial * 10, "cc" * 32, "CN=d", "CN=ICA", NOW, end)
    return LedgerCertificate(kept, "devices", "est")


def issued(device: DeviceId, serial: str) -> LifecycleEvent:
    return event("issued", device, NOW, serial, serial=serial, hub="hub-a")


def ids(known: Snapshot) -> list[str]:
    return [one.id for one in known.recent]


async def test_an_event_stays_when_it_has_left_the_outbox(ledger: Ledger, device: DeviceId) -> None:
    said = (issued(device, "0a"), event("blocked", device, NOW + timedelta(seconds=1), "saga-1", reason="“lost”"))
    known = await ledger.commit(await ledger.load(device), Change(a_device(device), events=said))
    known = await ledger.commit(known, Change(a_device(device), published=tuple(one.id for one in said)))
    assert known == await ledger.load(device)
    assert known.outbox == ()
    assert known.recent == (
        RecentEvent("issued-0a", "issued", NOW, "0a"),
        RecentEvent("blocked-saga-1", "blocked", NOW + timedelta(seconds=1)),
    )


async def test_every_step_that_writes_events_keeps_them_and_no_other_step_loses_one(
    ledger: Ledger, device: DeviceId
) -> None:
    known = await ledger.claim(await ledger.load(device, CLAIM.key), a_device(device), CLAIM)
    assert known.recent == ()
    change = Change(a_device(device), (a_certificate("0a"),), events=(issued(device, "0a"),))
    known = await ledger.record(known, CLAIM, change, DUE)
    change = Change(a_device(device), (a_certificate("0b"),), events=(issued(device, "0b"),))
    known = await ledger.adopt(await ledger.load(device, CLAIM.key), change, DUE)
    assert ids(known) == ["issued-0a", "issued-0b"]
    blocked = saga("saga-1", "hold", Reason.KEY_COMPROMISE, NOW, caller="ops", comment="")
    said = event("blocked", device, NOW, "saga-1")
    known = await ledger.commit(known, Change(a_device(device), saga=blocked, events=(said,)))
    known = await ledger.claim(await ledger.load(device, CLAIM.key), a_device(device), CLAIM)
    assert known == await ledger.load(device, CLAIM.key)
    await ledger.release(known, a_device(device))
    assert ids(await ledger.load(device)) == ["issued-0a", "issued-0b", "blocked-saga-1"]


async def test_the_last_ones_stay(ledger: Ledger, device: DeviceId) -> None:
    known = await ledger.load(device)
    for begin in range(0, 30, 10):
        some = tuple(issued(device, f"{number:02x}") for number in range(begin, begin + 10))
        known = await ledger.commit(known, Change(a_device(device), events=some))
    assert known == await ledger.load(device)
    assert len(known.outbox) == 30
    assert ids(known) == [one.id for one in known.outbox[-MOST_RECENT:]]


async def test_a_step_of_several_transactions_keeps_them_too(ledger: Ledger, device: DeviceId) -> None:
    known = await ledger.commit(await ledger.load(device), Change(a_device(device), events=(issued(device, "0a"),)))
    many = tuple(a_certificate(f"{number:04x}") for number in range(150))
    known = await ledger.commit(known, Change(a_device(device), many, events=(issued(device, "0b"),)))
    assert known == await ledger.load(device)
    assert ids(known) == ["issued-0a", "issued-0b"]
