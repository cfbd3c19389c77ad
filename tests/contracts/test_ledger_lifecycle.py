"""The ledger through the later life of a device: steps with sagas and events, each in one transaction."""

from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta

import pytest

from shared.core.certificate import Certificate
from shared.core.errors import Unavailable
from shared.core.fleet import BatchRow, Block, Change, Claim, Device, Expected, Failure, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.core.lifecycle import LifecycleEvent, event
from shared.core.passcode import OneTimePasscode
from shared.core.revocation import Reason, Saga, Step, Verb, saga
from shared.flows.ports.ledger import SagaLedger, StaleVersionError
from tests.contracts.outside import Outside
from tests.fakes.ledger import FakeLedger

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 2, 9, 8, 7, 654321, tzinfo=UTC)
DUE = date(2026, 5, 13)
CLAIM = Claim("a" * 64, "issued", NOW, "0a1b")
ODD = "hold / restore? 50 % #1_2 \t“Zürich” 東京"


@dataclass
class Subject:
    ledger: SagaLedger
    dead: SagaLedger


@pytest.fixture
def subject(real: Outside | None) -> Subject:
    if real is not None:
        return Subject(real.ledger, real.dead_ledger)
    dead = FakeLedger()
    dead.calls.fail("", lambda: Unavailable("no", retry_after=2), times=99)
    return Subject(FakeLedger(), dead)


@pytest.fixture
def ledger(subject: Subject) -> SagaLedger:
    return subject.ledger


def a_device(name: DeviceId) -> Device:
    return Device(name, "devices", created=NOW)


def a_certificate(serial: str = "0a1b") -> LedgerCertificate:
    end = NOW + timedelta(days=90)
    kept = Certificate(b"\x30\x00", serial, serial * 16, serial * 10, "cc" * 32, "CN=d", "CN=ICA", NOW, end)
    return LedgerCertificate(kept, "devices", "est")


def a_saga(ident: str = "saga-1", verb: Verb = "revoke") -> Saga:
    return saga(ident, verb, Reason.KEY_COMPROMISE, NOW, caller="ops “Zoë”", comment="lost\nat sea \\ 東京")


def done(ident: str) -> Saga:
    return a_saga(ident, "hold").with_step(Step("announce", done_at=NOW))


def an_event(device: DeviceId, about: str, minutes: int = 0) -> LifecycleEvent:
    return event("issued", device, NOW + timedelta(minutes=minutes), about, serial=about, not_after="2026-05-31")


async def known_device(ledger: SagaLedger, device: DeviceId, *serials: str) -> Snapshot:
    """The device with certificates of these serials."""
    known = await ledger.load(device)
    return await ledger.commit(known, Change(a_device(device), tuple(a_certificate(one) for one in serials)))


async def test_everything_about_a_device_is_kept(ledger: SagaLedger, device: DeviceId) -> None:
    full = Device(
        device,
        "north",
        NOW,
        hub="hub-b",
        current="0a",
        latest="0b",
        asked_with="1a",
        rotating_since=NOW + timedelta(microseconds=1),
        block=Block.HOLD,
        block_reason="lost, perhaps",
        blocked_at=NOW + timedelta(days=1),
        issued_on=date(2026, 3, 1),
        issued_count=12,
        connected=True,
        sequence="0000000000000000000000000000000000000000000000000000000000000C5A",
        last_seen=NOW + timedelta(days=2),
        nudged_at=NOW + timedelta(days=3),
        nudges=4,
        failure=Failure("certificate expired", NOW + timedelta(days=4), "2001:db8::1"),
        expected=Expected("ab" * 32, "SN 7 “東京”"),
        passcode=OneTimePasscode(
            b"\0salt\xff", b"\0digest\xff", NOW + timedelta(days=5), 14, 3, "a" * 64, "b" * 64, NOW + timedelta(days=6)
        ),
    )
    assert all(getattr(full, one.name) != one.default for one in fields(full))
    known = await ledger.load(device)
    for passcode in (full.passcode, OneTimePasscode(b"salt", b"digest", NOW)):
        wanted = replace(full, passcode=passcode)
        await ledger.commit(known, Change(wanted))
        known = await ledger.load(device)
        assert known.device == wanted
    assert (await ledger.commit(known, Change(replace(full, expected=Expected())))).device is not None
    known = await ledger.load(device)
    assert known.device == replace(full, expected=Expected())
    await ledger.commit(known, Change(a_device(device)))
    assert (await ledger.load(device)).device == a_device(device)


async def test_the_row_of_a_batch_that_asked_for_a_certificate_is_kept(ledger: SagaLedger, device: DeviceId) -> None:
    asked = replace(a_certificate(), source="batch", batch=BatchRow("b-1a2b", 100_000))
    await ledger.commit(await ledger.load(device), Change(a_device(device), (asked, a_certificate("0b"))))
    assert (await ledger.load(device)).certificates == (asked, a_certificate("0b"))


async def test_a_step_is_written_whole_and_returned_as_a_reading_shows_it(ledger: SagaLedger, device: DeviceId) -> None:
    known = await known_device(ledger, device, "10", "9")
    blocked = replace(a_device(device), block=Block.REVOKED)
    revoked = replace(a_certificate("9"), status="revoked")
    events = (an_event(device, "b", minutes=2), an_event(device, "a", minutes=3), an_event(device, "c", minutes=1))
    after = await ledger.commit(known, Change(blocked, (revoked, a_certificate("0a")), a_saga(), events))
    assert after == await ledger.load(device)
    assert after.device == blocked
    assert after.certificates == (a_certificate("0a"), a_certificate("10"), revoked)
    assert after.saga == a_saga()
    assert after.outbox == (events[2], events[0], events[1])  # as they happened


async def test_one_step_may_follow_another_without_a_new_reading(ledger: SagaLedger, device: DeviceId) -> None:
    known = await known_device(ledger, device, "9")
    known = await ledger.commit(known, Change(a_device(device), saga=a_saga(), events=(an_event(device, "a"),)))
    further = a_saga().with_step(Step("dps", done_at=NOW + timedelta(seconds=1)))
    further = further.with_step(Step("hub", failures=3, error="429: too many\nrequests"))
    known = await ledger.commit(known, Change(a_device(device), (a_certificate("9"),), further))
    known = await ledger.commit(known, Change(a_device(device), published=("issued-a",)))
    assert known == await ledger.load(device)
    assert (known.saga, known.outbox) == (further, ())


async def test_a_step_that_is_not_the_first_to_write_writes_nothing(ledger: SagaLedger, device: DeviceId) -> None:
    known = await known_device(ledger, device, "9")
    first = await ledger.commit(known, Change(replace(a_device(device), hub="hub-a")))
    revoked = replace(a_certificate("9"), status="revoked")
    with pytest.raises(StaleVersionError):
        await ledger.commit(known, Change(a_device(device), (revoked,), a_saga(), (an_event(device, "a"),)))
    assert await ledger.load(device) == first


async def test_a_step_leaves_the_claim_as_it_is(ledger: SagaLedger, device: DeviceId) -> None:
    await ledger.claim(await ledger.load(device, CLAIM.key), a_device(device), CLAIM)
    known = await ledger.load(device, CLAIM.key)
    after = await ledger.commit(known, Change(replace(a_device(device), hub="hub-a"), saga=a_saga()))
    assert after == await ledger.load(device, CLAIM.key)
    assert after.claim == CLAIM


async def test_a_record_is_claim_and_step_in_one(ledger: SagaLedger, device: DeviceId) -> None:
    known = await ledger.claim(await ledger.load(device, CLAIM.key), a_device(device), replace(CLAIM, state="open"))
    change = Change(replace(a_device(device), latest="0a1b"), (a_certificate(),), events=(an_event(device, "0a1b"),))
    after = await ledger.record(known, CLAIM, change, DUE)
    assert after == await ledger.load(device, CLAIM.key)
    assert (after.device, after.claim) == (change.device, CLAIM)
    assert (after.certificates, after.outbox) == (change.certificates, change.events)


async def test_a_stale_record_writes_nothing(ledger: SagaLedger, device: DeviceId) -> None:
    claimed = await ledger.claim(await ledger.load(device, CLAIM.key), a_device(device), replace(CLAIM, state="open"))
    moved = await ledger.commit(claimed, Change(replace(a_device(device), hub="hub-a")))
    with pytest.raises(StaleVersionError):
        await ledger.record(claimed, CLAIM, Change(a_device(device), (a_certificate(),)), DUE)
    assert await ledger.load(device, CLAIM.key) == moved


async def test_a_saga_that_another_follows_is_kept_under_its_id(ledger: SagaLedger, device: DeviceId) -> None:
    known = await known_device(ledger, device)
    for ident in ("first", ODD, "x" * 300, "x" * 301, "last"):
        known = await ledger.commit(known, Change(a_device(device), saga=a_saga(ident, "hold")))
        known = await ledger.commit(known, Change(a_device(device), saga=done(ident)))
        assert known.saga == done(ident)
    assert known == await ledger.load(device)
    for ident in ("first", ODD, "x" * 300, "x" * 301):
        assert await ledger.past_saga(device, ident) == done(ident)
    assert await ledger.past_saga(device, "last") is None  # the latest one is the one that a reading shows
    assert await ledger.past_saga(device, "never") is None


async def test_events_leave_the_outbox_when_they_are_published(ledger: SagaLedger, device: DeviceId) -> None:
    events = tuple(an_event(device, about) for about in ("a", ODD, "b"))
    known = await ledger.commit(await ledger.load(device), Change(a_device(device), events=events))
    known = await ledger.commit(known, Change(a_device(device), published=(events[0].id, events[1].id)))
    assert known == await ledger.load(device)
    assert known.outbox == (events[2],)


async def test_what_is_published_twice_is_gone_once(ledger: SagaLedger, device: DeviceId) -> None:
    known = await ledger.commit(await ledger.load(device), Change(a_device(device), events=(an_event(device, "a"),)))
    known = await ledger.commit(known, Change(a_device(device), published=("issued-a",)))
    known = await ledger.commit(known, Change(a_device(device), published=("issued-a", "never-there")))
    assert known == await ledger.load(device)


async def test_an_event_that_comes_while_another_is_published_stays(ledger: SagaLedger, device: DeviceId) -> None:
    known = await ledger.commit(await ledger.load(device), Change(a_device(device), events=(an_event(device, "a"),)))
    await ledger.commit(known, Change(a_device(device), events=(an_event(device, "b"),)))
    with pytest.raises(StaleVersionError):
        await ledger.commit(known, Change(a_device(device), published=("issued-a",)))
    assert [one.id for one in (await ledger.load(device)).outbox] == ["issued-a", "issued-b"]


async def test_a_step_that_is_repeated_repeats_its_event(ledger: SagaLedger, device: DeviceId) -> None:
    known = await ledger.load(device)
    for minutes in (0, 5):
        known = await ledger.commit(known, Change(a_device(device), events=(an_event(device, "a", minutes),)))
    assert known == await ledger.load(device)
    assert known.outbox == (an_event(device, "a", minutes=5),)


async def test_an_event_that_is_out_already_does_not_enter_the_outbox(ledger: SagaLedger, device: DeviceId) -> None:
    known = await ledger.load(device)
    change = Change(a_device(device), events=(an_event(device, "a"),), published=("issued-a",))
    for _ in range(2):
        known = await ledger.commit(known, change)
        assert known == await ledger.load(device)
        assert known.outbox == ()


async def test_hundreds_of_certificates_are_revoked_in_one_step(ledger: SagaLedger, device: DeviceId) -> None:
    """A transaction of Table Storage has a hundred rows."""
    serials = [f"{number:04x}" for number in range(250)]
    known = await ledger.load(device)
    for begin in range(0, 250, 90):
        some = tuple(a_certificate(one) for one in serials[begin : begin + 90])
        known = await ledger.commit(known, Change(a_device(device), some))
    revoked = tuple(replace(one, status="revoked") for one in known.certificates)
    change = Change(replace(a_device(device), block=Block.REVOKED), revoked, a_saga(), (an_event(device, "a"),))
    after = await ledger.commit(known, change)
    assert after == await ledger.load(device)
    assert (after.device, after.certificates, after.saga) == (change.device, revoked, a_saga())
    with pytest.raises(StaleVersionError):
        await ledger.commit(known, Change(a_device(device), known.certificates))
    assert await ledger.load(device) == after


async def test_hundreds_of_events_are_published_in_one_step(ledger: SagaLedger, device: DeviceId) -> None:
    known = await ledger.load(device)
    for begin in range(0, 150, 50):
        events = tuple(an_event(device, f"{number:03}") for number in range(begin, begin + 50))
        known = await ledger.commit(known, Change(a_device(device), events=events))
    ids = tuple(one.id for one in known.outbox)
    assert len(ids) == 150
    after = await ledger.commit(known, Change(a_device(device), published=ids))
    assert after == await ledger.load(device)
    assert after.outbox == ()


async def test_a_store_that_does_not_answer_is_unavailable(subject: Subject, device: DeviceId) -> None:
    known = await subject.ledger.load(device)
    for change in (Change(a_device(device)), Change(a_device(device), events=(an_event(device, "a"),))):
        with pytest.raises(Unavailable):
            await subject.dead.commit(known, change)
        with pytest.raises(Unavailable):
            await subject.dead.record(known, CLAIM, change, DUE)
    with pytest.raises(Unavailable):
        await subject.dead.past_saga(device, "any")
