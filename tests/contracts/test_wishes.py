"""The operators' writes by their keys: of many at once one is first, and what is kept stays as it was."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from shared.adapters.wishes import TableWishes
from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from shared.flows.ports.ledger import StaleVersionError
from shared.flows.ports.operators import KeptWish, Wish, Wishes
from tests.fakes.ops import FakeWishes

if TYPE_CHECKING:
    from tests.contracts.outside import Outside

pytestmark = pytest.mark.anyio

AT = datetime(2026, 3, 2, 9, 8, 7, 654321, tzinfo=UTC)


@dataclass
class Subject:
    wishes: Wishes
    dead: Wishes


@pytest.fixture
def subject(real: "Outside | None") -> Subject:
    if real is not None:
        return Subject(TableWishes(real.ledger.tables), TableWishes(real.dead_ledger.tables))
    dead = FakeWishes()
    dead.calls.fail("", lambda: Unavailable("no", retry_after=2), times=99)
    return Subject(FakeWishes(), dead)


@pytest.fixture
def wish(device: DeviceId) -> Wish:
    return Wish(f"device/{device}", "k1", "ab" * 32, AT, "0a1b")


async def test_the_first_wish_of_a_key_stays(subject: Subject, wish: Wish) -> None:
    first = await subject.wishes.keep(wish)
    assert (first.wish, first.first) == (wish, True)
    again = await subject.wishes.keep(replace(wish, body="cd" * 32, at=AT + timedelta(days=1), note=""))
    assert again == KeptWish(wish, first=False, version=first.version)


async def test_of_many_at_once_one_is_first(subject: Subject, wish: Wish) -> None:
    kept = await asyncio.gather(*(subject.wishes.keep(replace(wish, note=str(number))) for number in range(8)))
    assert [one.first for one in kept].count(True) == 1
    assert len({one.wish.note for one in kept}) == 1


@pytest.mark.parametrize("key", ["/", "#?", "\\", "%2F", "a~b", "!" * 128, "~" * 128, "'"])
async def test_every_key_is_its_own_and_so_is_every_scope(subject: Subject, wish: Wish, key: str) -> None:
    for one in (wish, replace(wish, key=key), replace(wish, scope=f"{wish.scope}/{key}")):
        assert (await subject.wishes.keep(one)).first
        assert (await subject.wishes.keep(one)).wish == one


async def test_a_change_is_made_by_who_has_seen_the_latest(subject: Subject, wish: Wish) -> None:
    kept = await subject.wishes.keep(wish)
    changed = await subject.wishes.change(kept, replace(wish, note="7"))
    assert changed.wish.note == "7"
    with pytest.raises(StaleVersionError):
        await subject.wishes.change(kept, replace(wish, note="8"))
    await subject.wishes.change(changed, replace(wish, note="9"))
    assert (await subject.wishes.keep(wish)).wish.note == "9"


async def test_a_store_that_does_not_answer_is_unavailable(subject: Subject, wish: Wish) -> None:
    with pytest.raises(Unavailable):
        await subject.dead.keep(wish)
    with pytest.raises(Unavailable):
        await subject.dead.change(KeptWish(wish, first=True, version='W/"1"'), wish)
