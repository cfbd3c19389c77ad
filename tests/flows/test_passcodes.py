"""A one-time passcode lets one device in once; what is lost on the way may be asked for again, and nothing else."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.basic import BasicCredentials, parse
from shared.core.errors import Conflict, Forbidden, Malformed, NotFound, Unauthenticated, Unavailable
from shared.core.est import Operation
from shared.core.fleet import Block
from shared.core.identity import DeviceId
from shared.core.passcode import MAX_FAILURES
from shared.core.principal import OneTimePasscodeHolder
from tests.fakes.calls import Crash
from tests.fakes.devices import Device
from tests.fakes.world import PASSCODE, PROFILE, Fakes, fakes

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
ME = DeviceId("dev-1")


@pytest.fixture
def world() -> Fakes:
    return fakes(replace(PROFILE.authentication, factory=None, one_time_passcodes=True))


async def made(world: Fakes, name: DeviceId = ME) -> Device:
    """A device that has been given its passcode."""
    passcode = await world.passcodes.make(name, PROFILE.label, HOUR)
    return Device(name).with_password(f"{name}:{passcode.text}")


async def test_a_device_is_born_by_its_passcode(world: Fakes) -> None:
    born = await world.birth(await made(world))
    assert isinstance(born.principal, OneTimePasscodeHolder)
    assert born.principal.device_id == ME
    assert len(world.ca.issued) == 1


async def test_used_once_it_lets_nobody_in_again(world: Fakes) -> None:
    device = await made(world)
    await world.birth(device)
    with pytest.raises(Forbidden, match="has been used"):
        await world.birth(device.with_new_key())
    assert len(world.ca.issued) == 1


async def test_the_request_that_burnt_it_may_be_repeated_and_gets_the_same(world: Fakes) -> None:
    device = await made(world)
    first = await world.birth(device)
    assert (await world.birth(device)).issued == first.issued


async def test_what_failed_does_not_burn_it(world: Fakes) -> None:
    device = await made(world)
    world.upstream.behaves += ["down", "refuse"]
    for _ in range(2):
        with pytest.raises(Exception):  # noqa: B017, PT011 - whichever way DigiCert ONE says no
            await world.birth(device)
    await world.birth(device.with_new_key())
    assert len(world.ca.issued) == 1


async def test_a_crash_before_it_is_recorded_does_not_burn_it_and_after_it_gives_the_same(world: Fakes) -> None:
    for moment in ("before", "after"):
        device = await made(world, DeviceId(f"dev-{moment}"))
        world.calls.fail("ledger.record", Crash, moment="before" if moment == "before" else "after")
        with pytest.raises(Crash):
            await world.birth(device)
        world.restart()
        world.clock.forward(seconds=60)
        await world.birth(device)
    assert len(world.ca.issued) == 2


async def test_of_two_that_come_at_once_with_different_keys_one_gets_a_certificate(world: Fakes) -> None:
    device = await made(world)
    world.upstream.seconds = 2
    ended = await asyncio.gather(world.birth(device), world.birth(device.with_new_key()), return_exceptions=True)
    assert len(world.ca.issued) == 1
    assert sum(isinstance(one, Unavailable) for one in ended) == 1


async def test_it_is_good_for_its_device_alone(world: Fakes) -> None:
    device = await made(world)
    with pytest.raises(Forbidden, match="not the device"):
        await world.birth(replace(device, name="dev-2"))
    with pytest.raises(Unauthenticated):
        await world.birth(Device("dev-2").with_password("dev-2:" + "x" * 23))


async def test_the_user_is_the_device_in_its_own_spelling(world: Fakes) -> None:
    text = (await world.passcodes.make(ME, PROFILE.label, HOUR)).text
    with pytest.raises(Unauthenticated):
        await world.birth(Device("dev-1").with_password(f"DEV-1:{text}"))


async def test_a_wrong_one_is_counted_and_after_ten_the_right_one_is_wrong_too(world: Fakes) -> None:
    device = await made(world)
    for _ in range(MAX_FAILURES):
        with pytest.raises(Unauthenticated):
            await world.birth(Device("dev-1").with_password("dev-1:guess"))
    with pytest.raises(Unauthenticated):
        await world.birth(device)
    again = await made(world)
    await world.birth(again)


def failures(world: Fakes) -> int:
    kept = world.ledger.read(ME).device
    assert kept is not None
    assert kept.passcode is not None
    return kept.passcode.failures


async def test_however_many_guess_at_once_they_have_ten_tries(world: Fakes) -> None:
    await made(world)
    compared = 0

    async def aside[T](work: Callable[[], T]) -> T:
        nonlocal compared
        compared += 1
        await asyncio.sleep(0)
        return work()

    passcodes = replace(world.passcodes, aside=aside)
    guess = BasicCredentials(b"dev-1", b"guess")
    for _ in range(20):
        await asyncio.gather(*(passcodes.holder(guess) for _ in range(20)), return_exceptions=True)
    assert (compared, failures(world)) == (MAX_FAILURES, MAX_FAILURES)


async def test_a_try_that_is_right_does_not_count(world: Fakes) -> None:
    device = await made(world)
    world.upstream.behaves += ["down"] * (MAX_FAILURES + 2)
    for _ in range(MAX_FAILURES + 2):
        with pytest.raises(Unavailable):
            await world.birth(device)
    assert failures(world) == 0


async def presented(world: Fakes) -> BasicCredentials:
    """The passcode as its device presents it."""
    return BasicCredentials(ME.encode(), (await world.passcodes.make(ME, PROFILE.label, HOUR)).text.encode())


async def test_a_right_one_lets_in_also_where_the_ledger_fails_once_it_was_compared(world: Fakes) -> None:
    """And the next one makes up for what could not be given back."""
    right = await presented(world)

    async def aside[T](work: Callable[[], T]) -> T:
        world.calls.fail("ledger.commit", lambda: Unavailable("the ledger is slow", retry_after=5))
        return work()

    failing = replace(world.passcodes, aside=aside)
    for tries in range(1, MAX_FAILURES):
        assert (await failing.holder(right)).device_id == ME
        assert failures(world) == tries
    await world.passcodes.holder(right)
    assert failures(world) == 0


async def test_a_ledger_that_hangs_once_it_was_compared_keeps_nobody_waiting_for_long(world: Fakes) -> None:
    right = await presented(world)

    async def aside[T](work: Callable[[], T]) -> T:
        world.calls.meanwhile["ledger.commit"] = lambda: asyncio.sleep(3600)
        return work()

    async with asyncio.timeout(6):
        await replace(world.passcodes, aside=aside).holder(right)


async def test_a_try_that_was_not_compared_in_its_time_does_not_count(world: Fakes) -> None:
    """However often it comes: the threads may all be taken."""
    right = await presented(world)

    async def aside[T](work: Callable[[], T]) -> T:
        await asyncio.sleep(60)
        return work()

    slow = replace(world.passcodes, aside=aside)
    for _ in range(MAX_FAILURES + 2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(23):
                await slow.holder(right)
        assert failures(world) == 0
    await world.passcodes.holder(right)


async def test_a_try_that_could_not_be_compared_does_not_count_and_its_failure_is_told(world: Fakes) -> None:
    right = await presented(world)

    async def aside[T](work: Callable[[], T]) -> T:
        raise MemoryError(work)

    with pytest.raises(MemoryError):
        await replace(world.passcodes, aside=aside).holder(right)
    assert failures(world) == 0


async def test_a_try_that_nobody_waits_for_any_more_is_given_back_all_the_same(world: Fakes) -> None:
    """The request is cancelled, and cancelled again while the ledger writes."""
    right = await presented(world)

    async def aside[T](work: Callable[[], T]) -> T:
        world.calls.meanwhile["ledger.commit"] = lambda: asyncio.sleep(1)
        await asyncio.sleep(60)
        return work()

    asking = asyncio.create_task(replace(world.passcodes, aside=aside).holder(right))
    for _ in range(2):
        await asyncio.sleep(0.5)
        asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert failures(world) == 1
    await asyncio.sleep(2)
    assert failures(world) == 0


async def test_a_dozen_right_ones_at_once_are_all_let_in(world: Fakes) -> None:
    """Each of them changes the same record twice."""
    right = await presented(world)
    who = await asyncio.gather(*(world.passcodes.holder(right) for _ in range(12)))
    assert {one.device_id for one in who} == {ME}
    assert failures(world) == 0


async def test_why_it_was_refused_is_for_the_log_alone(world: Fakes) -> None:
    device = await made(world)
    with pytest.raises(Unauthenticated) as wrong:
        await world.birth(Device("dev-1").with_password("dev-1:guess"))
    world.clock.forward(seconds=HOUR.total_seconds())
    with pytest.raises(Unauthenticated) as late:
        await world.birth(device)
    with pytest.raises(Unauthenticated) as stranger:
        await world.birth(Device("dev-9").with_password("dev-9:guess"))
    with pytest.raises(Unauthenticated) as nobody:
        await world.birth(Device("dev-9").with_password("no device:guess"))
    assert len({one.value.public for one in (wrong, late, stranger, nobody)}) == 1
    assert "wrong" in wrong.value.cause
    assert "expired" in late.value.cause
    assert [one.value.device_id for one in (wrong, late, stranger, nobody)] == [ME, ME, "", ""]


async def test_it_lets_its_device_in_under_its_own_label_alone(world: Fakes) -> None:
    """Or its holder would choose the CA, the lifetime and the hubs."""
    world.profiles = {**world.profiles, "other": replace(world.profile, label="other")}
    world.upstreams["other"], world.sources["other"] = world.upstream, world.source
    world.restart()
    device = await made(world)
    with pytest.raises(Forbidden, match="made for another label"):
        await world.birth(device, label="other")
    await world.birth(device)


async def test_another_that_is_made_meanwhile_is_not_changed_by_what_the_old_one_comes_to(world: Fakes) -> None:
    """The try counts for the one that it was made with, and is given back to nobody else."""
    device = await made(world)

    async def aside[T](work: Callable[[], T]) -> T:
        await world.passcodes.make(ME, "", HOUR)
        return work()

    passcodes = replace(world.passcodes, aside=aside)
    text = device.submission(Operation.SIMPLEENROLL).presented.authorization
    await passcodes.holder(parse(text))
    assert failures(world) == 0


async def test_its_time_ends(world: Fakes) -> None:
    device = await made(world)
    world.clock.forward(seconds=HOUR.total_seconds())
    with pytest.raises(Unauthenticated):
        await world.birth(device)


async def test_a_later_one_ends_an_earlier_one(world: Fakes) -> None:
    first, second = await made(world), await made(world)
    with pytest.raises(Unauthenticated):
        await world.birth(first)
    await world.birth(second)


async def test_one_that_was_replaced_while_it_was_checked_lets_nobody_in_and_leaves_the_new_one_whole(
    world: Fakes,
) -> None:
    device = await made(world)

    async def replaced() -> None:
        del world.calls.meanwhile["chain.fetch"]
        await world.passcodes.make(ME, "", HOUR)

    world.calls.meanwhile["chain.fetch"] = replaced
    with pytest.raises(Forbidden, match="another one-time passcode since"):
        await world.birth(device)
    kept = world.ledger.read(ME).device
    assert kept is not None
    assert kept.passcode is not None
    assert (kept.passcode.burnt_by, kept.passcode.held_by) == ("", "")


async def test_one_that_is_replaced_while_the_certificate_is_made_is_not_burnt_for_it(world: Fakes) -> None:
    device = await made(world)
    later: list[str] = []

    async def replaced() -> None:
        del world.calls.meanwhile["upstream.issue"]
        later.append((await world.passcodes.make(ME, "", HOUR)).text)

    world.calls.meanwhile["upstream.issue"] = replaced
    await world.birth(device)
    await world.birth(device.with_new_key().with_password(f"{ME}:{later[0]}"))
    assert len(world.ca.issued) == 2


async def test_what_is_no_passcode_of_a_device_is_nobodys(world: Fakes) -> None:
    for credentials in ("dev 1:x", "dev-9:x", f"{PASSCODE}x"):
        with pytest.raises(Unauthenticated):
            await world.birth(Device("dev-1").with_password(credentials))
    with pytest.raises(Unauthenticated):
        await world.enroll._by_passcode(world.profile, "Basic " + "/w==")


async def test_it_renews_what_it_was_not_used_for(world: Fakes) -> None:
    device = await made(world)
    with pytest.raises(Forbidden, match="no certificate of this subject"):
        await world.birth(device, Operation.SIMPLEREENROLL)
    await world.birth(device)
    again = await made(world)
    assert (
        await world.birth(replace(again, key=device.with_new_key().key), Operation.SIMPLEREENROLL)
    ).issued is not None


async def test_where_the_profile_does_not_take_them_none_is_made_and_none_is_taken() -> None:
    world = fakes()
    with pytest.raises(Conflict, match="one_time_passcodes is not switched on"):
        await world.passcodes.make(ME, PROFILE.label, HOUR)


async def test_who_gets_one(world: Fakes) -> None:
    with pytest.raises(Malformed, match='must hold its "label"'):
        await world.passcodes.make(ME, "", HOUR)
    with pytest.raises(NotFound, match="no such label"):
        await world.passcodes.make(ME, "other", HOUR)
    await world.passcodes.make(ME, PROFILE.label, HOUR)
    with pytest.raises(Conflict, match="belongs to the label devices"):
        await world.passcodes.make(ME, "other", HOUR)
    known = world.ledger.read(ME).device
    assert known is not None
    world.ledger.put(ME, replace(known, block=Block.HOLD))
    with pytest.raises(Conflict, match="blocked"):
        await world.passcodes.make(ME, "", HOUR)


async def test_under_a_manifest_nobody_else_gets_one() -> None:
    world = fakes(replace(PROFILE.authentication, factory=None, one_time_passcodes=True), unknown_devices="manifest")
    with pytest.raises(NotFound, match="not on the manifest"):
        await world.passcodes.make(ME, PROFILE.label, HOUR)


async def test_it_shows_nowhere(world: Fakes) -> None:
    passcode = await world.passcodes.make(ME, PROFILE.label, HOUR)
    kept = world.ledger.read(ME).device
    assert passcode.text not in repr(passcode) + repr(kept)
    assert kept is not None
    assert kept.passcode is not None
    assert kept.passcode.digest.hex() not in repr(kept)
    assert len(passcode.text) == 23


async def test_a_record_that_keeps_changing_ends_in_come_again(world: Fakes) -> None:
    async def change() -> None:
        known = world.ledger.read(ME).device
        if known is not None:
            world.ledger.put(ME, known)

    await made(world)
    world.calls.meanwhile["ledger.commit"] = change
    with pytest.raises(Unavailable):
        await world.passcodes.make(ME, "", HOUR)
    with pytest.raises(Unavailable):
        await world.birth(Device("dev-1").with_password("dev-1:guess"))
