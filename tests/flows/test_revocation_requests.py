"""Who asks for a block again gets the same one; what the state forbids is refused."""

import pytest

from shared.core.errors import Conflict, NotFound
from shared.core.fleet import Block
from shared.core.identity import DeviceId
from shared.core.revocation import Reason, Verb
from tests.fakes.revocation import RevocationWorld

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> RevocationWorld:
    return RevocationWorld()


@pytest.mark.parametrize(
    ("first", "verb", "text"),
    [
        (None, "restore", "not on hold"),
        ("revoke", "restore", "cannot be undone"),
        ("decommission", "restore", "cannot be undone"),
        ("revoke", "hold", "revoked already"),
    ],
)
async def test_what_the_state_forbids_is_a_conflict(
    world: RevocationWorld, first: Verb | None, verb: Verb, text: str
) -> None:
    device = world.device()
    if first is not None:
        await world.begin(device, first)
    before = world.known()
    with pytest.raises(Conflict, match=text):
        await world.begin(device, verb)
    assert world.known() == before


@pytest.mark.parametrize(("first", "second"), [("revoke", "revoke"), ("hold", "hold"), ("decommission", "revoke")])
async def test_asking_for_what_is_done_gives_the_same_outcome(
    world: RevocationWorld, first: Verb, second: Verb
) -> None:
    device = world.device()
    done = await world.begin(device, first)
    again = await world.revoke.begin(
        device, second, Reason.UNSPECIFIED, caller="another", comment="", saga_id="another"
    )
    assert again == done


async def test_the_same_request_again_is_the_same_saga_also_when_others_came_after(world: RevocationWorld) -> None:
    device = world.device()
    hold = await world.begin(device, "hold")
    assert await world.begin(device, "hold") == hold
    await world.begin(device, "restore")
    assert await world.begin(device, "hold") == hold
    assert world.row().block is Block.NONE


async def test_a_request_id_stands_for_one_request(world: RevocationWorld) -> None:
    device = world.device()
    await world.begin(device, "hold")
    for _ in range(2):
        with pytest.raises(Conflict, match="take a new one"):
            await world.revoke.begin(device, "revoke", Reason.UNSPECIFIED, caller="", comment="", saga_id="id-hold")
        await world.begin(device, "restore")


async def test_a_device_that_is_not_known_is_not_found(world: RevocationWorld) -> None:
    with pytest.raises(NotFound):
        await world.begin(DeviceId("dev-9"))
    assert await world.revoke.advance(DeviceId("dev-9")) is None


async def test_a_device_without_a_saga_has_nothing_to_go_on_with(world: RevocationWorld) -> None:
    assert await world.revoke.advance(world.device()) is None
