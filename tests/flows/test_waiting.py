"""DigiCert ONE wants time: the device is told to wait, asks again, and its order is made once."""

import asyncio

import pytest

from shared.core.errors import Refusal, Throttled, Unavailable, UpstreamRefused
from shared.core.est import Operation
from shared.flows.enroll import Waiting
from shared.flows.ports.issuance import Answer
from tests.fakes.world import Fakes

pytestmark = pytest.mark.anyio


async def test_a_device_that_waits_is_given_the_certificate_once_it_is_there(world: Fakes) -> None:
    device = world.device()
    world.upstream.behaves = ["pending"]
    for _ in range(3):
        waiting = await world.post(device)
        assert isinstance(waiting, Waiting)
        assert (waiting.device_id, waiting.retry_after) == ("dev-1", 30)
    world.upstream.approved = True
    born = await world.birth(device)
    assert (await world.birth(device)).issued == born.issued
    assert world.upstream.orders == len(world.ca.issued) == 1


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("no", retry_after=5),
        Throttled("no", retry_after=5),
        UpstreamRefused("no", nothing_issued=True),
        UpstreamRefused("no"),
    ],
)
async def test_asking_in_vain_does_not_make_the_order_again(world: Fakes, error: Refusal) -> None:
    """Also a no: it may concern our credentials alone."""
    device = world.device()
    world.upstream.behaves = ["pending"]
    await world.post(device)
    world.calls.fail("upstream.poll", lambda: error)
    with pytest.raises(type(error)):
        await world.post(device)
    world.upstream.approved = True
    await world.birth(device)
    assert world.upstream.orders == 1


async def test_an_order_that_waits_counts_once(world: Fakes) -> None:
    device = world.device()
    world.upstream.behaves = ["pending"]
    for _ in range(9):
        await world.post(device)
    known = world.ledger.read(device.id).device
    assert known is not None
    assert known.issued_count == 1


async def test_two_who_ask_at_once_for_what_waits_get_one_certificate(world: Fakes) -> None:
    device = world.device()
    world.upstream.behaves = ["pending"]
    await world.post(device)
    world.upstream.approved = True
    first, second = await asyncio.gather(world.birth(device), world.birth(device))
    assert first.issued == second.issued
    assert len(world.ca.issued) == 1


async def test_a_same_key_renewal_that_waits_is_not_given_the_old_certificate(world: Fakes) -> None:
    """Over REST the list of certificates is asked, and the old one is on it."""
    device = world.device()
    device = device.with_issued((await world.birth(device)).issued)
    world.upstream.behaves = ["pending"]
    assert isinstance(await world.post(device, Operation.SIMPLEREENROLL), Waiting)
    old = await world.upstream.find(device.request())
    assert isinstance(old, Answer)
    world.upstream.granted[device.request().spki_sha256] = old.certificates[0]
    assert isinstance(await world.post(device, Operation.SIMPLEREENROLL), Waiting)
    world.upstream.granted.clear()
    world.upstream.approved = True
    await world.birth(device, Operation.SIMPLEREENROLL)
    assert len(world.ca.issued) == 2
