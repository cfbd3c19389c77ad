"""What was begun and not finished is found again: events in the outbox, sagas."""

from datetime import timedelta

import pytest

from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from shared.core.revocation import Reason
from shared.flows.announce import Announce
from shared.flows.ports.ledger import StaleVersionError
from shared.flows.sweep import Sweep
from tests.fakes.calls import Crash
from tests.fakes.index import FakeHints
from tests.fakes.topic import FakeAnnouncements
from tests.fakes.world import Fakes

DEVICE = DeviceId("dev-1")


class Sweeping:
    """The two flows over the world's fakes."""

    def __init__(self, world: Fakes) -> None:
        self.world = world
        self.topic = FakeAnnouncements(world.calls)
        self.announce = Announce(world.ledger, self.topic)
        self.hints = FakeHints(world.ledger, world.calls, settled=timedelta(0))
        self.sweep = Sweep(world.ledger, self.hints, world.revoke, self.announce)

    def down(self, name: str, times: int = 1) -> None:
        self.world.calls.fail(name, lambda: Unavailable("down", retry_after=5, cause="no route"), times=times)

    async def hinted(self, kind: str) -> list[DeviceId]:
        return [device async for device in self.hints.unfinished(kind)]  # type: ignore[arg-type]


@pytest.fixture
def sweeping(world: Fakes) -> Sweeping:
    return Sweeping(world)


async def test_an_event_is_published_once_and_leaves_the_outbox(sweeping: Sweeping) -> None:
    await sweeping.world.birth(sweeping.world.device())
    assert await sweeping.announce.flush(DEVICE) == 1
    assert [event.kind for event in sweeping.topic.published] == ["issued"]
    assert sweeping.world.ledger.read(DEVICE).outbox == ()
    assert await sweeping.announce.flush(DEVICE) == 0


async def test_an_outage_of_the_topic_loses_nothing_and_blocks_no_device(sweeping: Sweeping) -> None:
    await sweeping.world.birth(sweeping.world.device())
    sweeping.down("announcements.publish")
    with pytest.raises(Unavailable):
        await sweeping.announce.flush(DEVICE)
    await sweeping.world.birth(sweeping.world.device().with_new_key())
    assert await sweeping.announce.flush(DEVICE) == 2


async def test_an_event_that_may_have_been_published_is_published_again_with_the_same_id(sweeping: Sweeping) -> None:
    await sweeping.world.birth(sweeping.world.device())
    sweeping.down("ledger.commit")
    with pytest.raises(Unavailable):
        await sweeping.announce.flush(DEVICE)
    await sweeping.announce.flush(DEVICE)
    assert len(sweeping.topic.published) == 2
    assert len(sweeping.topic.ids) == 1


async def test_a_device_that_changes_meanwhile_is_read_again(sweeping: Sweeping) -> None:
    await sweeping.world.birth(sweeping.world.device())
    sweeping.world.calls.fail("ledger.commit", StaleVersionError)
    assert await sweeping.announce.flush(DEVICE) == 1
    assert len(sweeping.topic.published) == 1


async def test_a_device_that_keeps_changing_is_given_up_for_now(sweeping: Sweeping) -> None:
    await sweeping.world.birth(sweeping.world.device())
    for _ in range(4):
        sweeping.world.calls.fail("ledger.commit", StaleVersionError)
    with pytest.raises(Unavailable):
        await sweeping.announce.flush(DEVICE)


async def test_the_sweep_publishes_what_no_message_told_of(sweeping: Sweeping) -> None:
    await sweeping.world.birth(sweeping.world.device())
    swept = await sweeping.sweep.run()
    assert (swept.finished, swept.stuck) == (1, ())
    assert len(sweeping.topic.published) == 1
    assert await sweeping.hinted("outbox") == []


async def test_the_sweep_names_what_cannot_be_published(sweeping: Sweeping) -> None:
    await sweeping.world.birth(sweeping.world.device())
    sweeping.down("announcements.publish")
    (stuck,) = (await sweeping.sweep.run()).stuck
    assert (stuck.device_id, stuck.kind, stuck.cause) == (DEVICE, "outbox", "no route")
    assert await sweeping.hinted("outbox") == [DEVICE]


async def blocked(sweeping: Sweeping, name: DeviceId = DEVICE) -> None:
    """A device whose block has begun, and that DPS has not heard of yet."""
    await sweeping.world.birth(sweeping.world.device(name))
    sweeping.down("enrollments.block", times=1)
    why = Reason.CERTIFICATE_HOLD
    await sweeping.world.revoke.begin(name, "hold", why, caller="operator", comment="", saga_id="s-1")


async def test_the_sweep_finishes_a_saga(sweeping: Sweeping) -> None:
    await blocked(sweeping)
    await sweeping.sweep.run()
    saga = sweeping.world.ledger.read(DEVICE).saga
    assert saga is not None
    assert saga.next is None
    await sweeping.sweep.run()
    assert await sweeping.hinted("saga") == []


async def test_the_sweep_names_a_saga_that_cannot_go_on(sweeping: Sweeping) -> None:
    await blocked(sweeping)
    sweeping.down("enrollments.block")
    stuck = [one for one in (await sweeping.sweep.run()).stuck if one.kind == "saga"]
    assert [one.device_id for one in stuck] == [DEVICE]
    assert stuck[0].since is not None


@pytest.mark.parametrize("name", ["ledger.load", "hints.drop"])
async def test_a_device_whose_record_cannot_even_be_read_does_not_keep_the_others_waiting(
    sweeping: Sweeping, name: str
) -> None:
    others = DeviceId("dev-2")
    await blocked(sweeping)
    await blocked(sweeping, others)
    sweeping.down(name, times=2 if name == "ledger.load" else 1)
    swept = await sweeping.sweep.run()
    assert [(one.device_id, one.kind) for one in swept.stuck] == [(DEVICE, "saga")]
    assert (swept.stuck[0].since is None) is (name == "ledger.load")
    saga = sweeping.world.ledger.read(others).saga
    assert saga is not None
    assert saga.next is None


async def test_an_outbox_whose_hint_stays_does_not_keep_the_others_waiting(sweeping: Sweeping) -> None:
    for name in ("dev-1", "dev-2"):
        await sweeping.world.birth(sweeping.world.device(name))
    sweeping.down("hints.drop")
    swept = await sweeping.sweep.run()
    assert [(one.device_id, one.kind) for one in swept.stuck] == [(DEVICE, "outbox")]
    assert await sweeping.hinted("outbox") == [DEVICE]
    assert len(sweeping.topic.published) == 2


async def test_what_nobody_foresaw_at_one_device_does_not_keep_the_others_waiting(sweeping: Sweeping) -> None:
    """A row that cannot be read, say; it is told as stuck, and the timer raises what it was."""
    others = DeviceId("dev-2")
    await blocked(sweeping)
    await blocked(sweeping, others)
    mistake = KeyError("Label")
    sweeping.world.calls.fail("ledger.load", lambda: mistake)
    sweeping.world.calls.fail("announcements.publish", lambda: mistake)
    swept = await sweeping.sweep.run()
    assert [(one.device_id, one.kind, one.cause) for one in swept.stuck] == [
        (DEVICE, "saga", "KeyError('Label')"),
        (DEVICE, "outbox", "KeyError('Label')"),
    ]
    assert swept.failures == (mistake, mistake)
    assert swept.finished == 2
    saga = sweeping.world.ledger.read(others).saga
    assert saga is not None
    assert saga.next is None
    assert sweeping.world.ledger.read(others).outbox == ()
    assert (await sweeping.sweep.run()).failures == ()


async def test_a_sweep_that_dies_tries_no_other_device(sweeping: Sweeping) -> None:
    await blocked(sweeping)
    sweeping.world.calls.fail("ledger.load", Crash)
    with pytest.raises(Crash):
        await sweeping.sweep.run()
