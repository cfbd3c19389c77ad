"""What operators see: a device, lists of certificates, sagas that do not end."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.errors import Malformed, NotFound, Unavailable
from shared.core.fleet import Change
from shared.core.identity import DeviceId, registration_key
from shared.core.revocation import Reason, Saga, Step, saga
from shared.core.searching import Search
from shared.flows.survey import MOST_SAGAS, STUCK_AFTER
from tests.fakes.clock import START
from tests.fakes.ops import OpsWorld, a_certificate

pytestmark = pytest.mark.anyio

YEAR = START + timedelta(days=365)
ALL = Search(None, None, "", 50)


@pytest.fixture
def ops() -> OpsWorld:
    return OpsWorld()


async def listed(ops: OpsWorld, search: Search) -> list[tuple[str, str]]:
    """All pages."""
    found: list[tuple[str, str]] = []
    while True:
        listing = await ops.survey.certificates(search)
        found += [(one.device_id, one.certificate.certificate.serial) for one in listing.certificates]
        if not listing.mark:
            return found
        search = replace(search, mark=listing.mark)


async def test_a_device_is_found_without_regard_to_case(ops: OpsWorld) -> None:
    device = await ops.born("Dev-1", "0a")
    known, found = await ops.survey.device(DeviceId("dEV-1"))
    assert found == device
    assert known.certificate("0a") == a_certificate("0a")
    with pytest.raises(NotFound):
        await ops.survey.device(DeviceId("dev-2"))


async def test_the_whole_ledger_is_read_page_by_page(ops: OpsWorld) -> None:
    for number in range(7):
        await ops.born(f"Dev-{number}", f"{number}a", f"{number}b")
    found = await listed(ops, replace(ALL, limit=3))
    assert found == [(f"Dev-{number}", f"{number}{letter}") for number in range(7) for letter in "ab"]
    assert ops.calls.count("fleet.certificates") == 5
    assert (await ops.survey.certificates(ALL)).source == "whole ledger"


async def test_the_whole_ledger_is_searched_by_status_and_label_and_end(ops: OpsWorld) -> None:
    await ops.born("dev-1", "1a", "1b")
    await ops.born("dev-2", "2a", label="north")
    ops.ledger.put(DeviceId("dev-1"), replace(a_certificate("1a"), status="revoked"))
    ops.ledger.put(DeviceId("dev-2"), a_certificate("2b", end=YEAR))
    assert await listed(ops, replace(ALL, status="revoked")) == [("dev-1", "1a")]
    assert await listed(ops, replace(ALL, label="north")) == [("dev-2", "2a")]
    assert await listed(ops, replace(ALL, status="issued", expires_before=YEAR)) == [("dev-1", "1b"), ("dev-2", "2a")]


async def test_what_expires_comes_from_the_index_each_hint_checked(ops: OpsWorld) -> None:
    device = await ops.born("Dev-1", "1a", "1b", "1c")
    await ops.born("dev-2", "2a", label="north")
    dev = device.device_id
    ops.ledger.put(dev, replace(a_certificate("1a"), status="revoked"))
    ops.ledger.put(dev, a_certificate("1b", end=YEAR))
    day = next(iter(ops.ledger.due))[0]
    ops.ledger.due[day, "dd"] = dev  # orphans: a certificate that never came to be, and a device
    ops.ledger.due[day, "ee"] = DeviceId("dev-9")
    ops.ledger.due[day + timedelta(days=1), "1c"] = dev
    before = replace(ALL, expires_before=YEAR)
    assert await listed(ops, before) == [("Dev-1", "1c"), ("dev-2", "2a")]
    assert await listed(ops, replace(before, label="north")) == [("dev-2", "2a")]
    assert await listed(ops, replace(before, expires_before=START)) == []
    listing = await ops.survey.certificates(before)
    assert listing.source == "due index"
    assert ops.calls.count("fleet.certificates") == 0


async def test_what_is_asked_for_again_on_its_last_day_is_still_listed(ops: OpsWorld) -> None:
    """Its row stands on the next day by then."""
    device = await ops.born("dev-1", "1a")
    end = a_certificate("1a").certificate.not_after
    ops.ledger.due = {(end.date() + timedelta(days=1), "1a"): device.device_id}
    soon = replace(ALL, expires_before=end + timedelta(minutes=1))
    assert await listed(ops, soon) == [("dev-1", "1a")]
    assert await listed(ops, replace(soon, expires_before=end)) == []


async def test_a_page_of_the_index_may_hold_nothing_and_yet_go_on(ops: OpsWorld) -> None:
    await ops.born("dev-1", "1a", "1b", "1c")
    for serial in ("1a", "1b"):
        ops.ledger.put(DeviceId("dev-1"), replace(a_certificate(serial), status="superseded"))
    search = replace(ALL, expires_before=YEAR, limit=1)
    first = await ops.survey.certificates(search)
    assert (first.certificates, bool(first.mark)) == ((), True)
    assert await listed(ops, search) == [("dev-1", "1c")]


async def test_a_mark_that_no_page_gave_is_refused(ops: OpsWorld) -> None:
    for search in (ALL, replace(ALL, expires_before=YEAR)):
        with pytest.raises(Malformed, match="continuation"):
            await ops.survey.certificates(replace(search, mark="x"))


def a_saga(ident: str, age: timedelta, *steps: Step) -> Saga:
    made = saga(ident, "revoke", Reason.UNSPECIFIED, START - age, caller="", comment="")
    return replace(made, steps=steps or made.steps)


async def begun(ops: OpsWorld, name: str, made: Saga | None) -> None:
    device = await ops.born(name)
    known = await ops.ledger.load(device.device_id)
    await ops.ledger.commit(known, Change(device, saga=made or a_saga(name, timedelta())))
    if made is None:  # the hint is there, and the saga never was
        del ops.ledger.rows[registration_key(device.device_id)]["saga"]


async def test_unfinished_sagas_are_shown_the_oldest_first_and_stuck_ones_alone(ops: OpsWorld) -> None:
    done = Step("dps", done_at=START)
    minute = timedelta(minutes=1)
    await begun(ops, "dev-1", a_saga("young", minute, Step("dps", done_at=START, failures=3), Step("hub")))
    await begun(ops, "dev-2", a_saga("failing", 2 * minute, done, Step("hub", failures=1, error="429")))
    await begun(ops, "dev-3", a_saga("old", STUCK_AFTER + minute))
    await begun(ops, "dev-4", a_saga("done", STUCK_AFTER + minute, done))
    await begun(ops, "dev-5", None)
    ops.ledger.hints["saga", next(iter(ops.ledger.hints))[1]] = (DeviceId("dev-9"), START)
    await begun(ops, "dev-1", a_saga("young again", minute, Step("dps", done_at=START, failures=3), Step("hub")))
    every = await ops.survey.sagas(stuck=False)
    assert [(name, one.id) for name, one in every.found] == [
        ("dev-3", "old"),
        ("dev-2", "failing"),
        ("dev-1", "young again"),
    ]
    assert every.complete
    stuck = await ops.survey.sagas(stuck=True)
    assert [one.id for _, one in stuck.found] == ["old", "failing"]


async def test_no_more_sagas_are_looked_at_than_one_answer_bears(ops: OpsWorld) -> None:
    for number in range(MOST_SAGAS + 1):
        await begun(ops, f"dev-{number:03}", a_saga(f"{number:03}", timedelta()))
    found = await ops.survey.sagas(stuck=False)
    assert (len(found.found), found.complete) == (MOST_SAGAS, False)


async def test_a_store_that_does_not_answer_is_unavailable(ops: OpsWorld) -> None:
    await begun(ops, "dev-1", a_saga("one", timedelta()))
    ops.calls.fail("ledger.load", lambda: Unavailable("no", retry_after=2))
    with pytest.raises(Unavailable):
        await ops.survey.sagas(stuck=True)
