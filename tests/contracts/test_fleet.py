"""The ledger across devices: pages of what is due, and of every certificate."""

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from shared.adapters.fleet_table import TableFleet
from shared.adapters.ledger_index import TableSchedule
from shared.core.errors import Malformed, Unavailable
from shared.core.fleet import Change, Device
from shared.core.identity import DeviceId
from shared.core.searching import Search
from shared.flows.ports.index import Due, Fleet, Listed, Schedule
from shared.flows.ports.ledger import Ledger
from tests.fakes.index import FakeSchedule
from tests.fakes.ledger import FakeLedger
from tests.fakes.ops import FakeFleet, a_certificate

if TYPE_CHECKING:
    from tests.contracts.outside import Outside

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 2, 9, 8, 7, tzinfo=UTC)
LATE = datetime(2026, 9, 1, tzinfo=UTC)


@dataclass
class Subject:
    ledger: Ledger
    schedule: Schedule
    fleet: Fleet
    dead: Fleet


@pytest.fixture
def subject(real: "Outside | None") -> Subject:
    if real is not None:
        tables = real.ledger.tables
        return Subject(real.ledger, TableSchedule(tables), TableFleet(tables), TableFleet(real.dead_ledger.tables))
    ledger, dead = FakeLedger(), FakeFleet(FakeLedger())
    dead.calls.fail("", lambda: Unavailable("no", retry_after=2), times=99)
    return Subject(ledger, FakeSchedule(ledger), FakeFleet(ledger), dead)


@pytest.fixture
def label() -> str:
    """A label that no other test has, of the kind that needs quoting: what the sandbox holds stays."""
    return f"north' or '1' eq '1 ü {secrets.token_hex(6)}"


@pytest.fixture
async def three(subject: Subject, label: str) -> list[DeviceId]:
    """Three devices: each has an old certificate that is superseded, a new one, and one of another label."""
    mark = secrets.token_hex(6)
    names = [DeviceId(f"Dev:{mark}_{number}") for number in range(3)]
    for name in names:
        kept = (
            replace(a_certificate("1a", label=label), status="superseded"),
            a_certificate("1b", label=label, end=LATE),
            a_certificate("1c", label=f"{label} 2"),
        )
        await subject.ledger.commit(await subject.ledger.load(name), Change(Device(name, label, NOW), kept))
    return names


async def pages(fleet: Fleet, search: Search) -> list[list[Listed]]:
    found = []
    while True:
        page = await fleet.certificates(search)
        found.append(list(page.certificates))
        if not page.mark:
            return found
        search = replace(search, mark=page.mark)


async def flat(fleet: Fleet, search: Search) -> list[tuple[str, str]]:
    return [(one.device_id, one.certificate.certificate.serial) for page in await pages(fleet, search) for one in page]


async def test_certificates_come_page_by_page_with_the_names_as_they_were_spelled(
    subject: Subject, three: list[DeviceId], label: str
) -> None:
    found = await pages(subject.fleet, Search(None, None, label, 2))
    assert all(len(page) <= 2 for page in found)
    listed = [one for page in found for one in page]
    assert [(one.device_id, one.certificate.certificate.serial) for one in listed] == [
        (name, serial) for name in three for serial in ("1a", "1b")
    ]
    expected = a_certificate("1b", label=label, end=LATE)
    assert listed[1].certificate == replace(expected, certificate=replace(expected.certificate, der=b""))


async def test_what_does_not_fit_is_left_out(subject: Subject, three: list[DeviceId], label: str) -> None:
    for search, serial in (
        (Search(None, "superseded", label, 100), "1a"),
        (Search(None, "issued", label, 100), "1b"),
        (Search(LATE, None, label, 100), "1a"),
        (Search(LATE + timedelta(seconds=1), "issued", label, 100), "1b"),
    ):
        assert await flat(subject.fleet, search) == [(name, serial) for name in three]
    assert await flat(subject.fleet, Search(None, "revoked", label, 100)) == []


async def test_without_a_condition_every_certificate_is_there(subject: Subject, three: list[DeviceId]) -> None:
    found = await flat(subject.fleet, Search(None, None, "", 100))
    assert {(name, serial) for name in three for serial in ("1a", "1b", "1c")} <= set(found)
    assert len(set(found)) == len(found)


async def test_the_ends_of_certificates_in_use_come_with_their_labels(
    subject: Subject, three: list[DeviceId], label: str
) -> None:
    found, mark = [], ""
    while True:
        page = await subject.fleet.endings(mark)
        found += [(of, end) for of, end in page.found if of.startswith(label)]
        mark = page.mark
        if not mark:
            break
    in_use = [(label, LATE), (f"{label} 2", a_certificate("1c").certificate.not_after)]
    assert sorted(found) == sorted(in_use * len(three))


async def test_what_is_due_comes_by_day_up_to_and_with_the_last(subject: Subject, device: DeviceId) -> None:
    first = date(1990, 1, 1) + timedelta(days=secrets.randbelow(3_000))
    for number in range(5):
        await subject.schedule.add(Due(device, f"{number}a"), first + timedelta(days=number))
    serials, mark = [], ""
    while True:
        page = await subject.fleet.due(first + timedelta(days=3), 2, mark)
        assert len(page.due) <= 2
        serials += [one.serial for one in page.due if one.device_id == device]
        mark = page.mark
        if not mark:
            break
    assert serials == ["0a", "1a", "2a", "3a"]


@pytest.mark.parametrize("mark", ["x", "[]", "null", '{"PartitionKey": 1, "RowKey": "x"}', '{"at": {}}', "9" * 5000])
async def test_a_mark_that_no_page_gave_is_malformed(subject: Subject, mark: str) -> None:
    with pytest.raises(Malformed, match="continuation"):
        await subject.fleet.certificates(Search(None, None, "", 10, mark))
    with pytest.raises(Malformed, match="continuation"):
        await subject.fleet.due(date(2026, 1, 1), 10, mark)
    with pytest.raises(Malformed, match="continuation"):
        await subject.fleet.endings(mark)


async def test_a_store_that_does_not_answer_is_unavailable(subject: Subject) -> None:
    with pytest.raises(Unavailable):
        await subject.dead.certificates(Search(None, None, "", 10))
    with pytest.raises(Unavailable):
        await subject.dead.due(date(2026, 1, 1), 10, "")
    with pytest.raises(Unavailable):
        await subject.dead.endings("")
