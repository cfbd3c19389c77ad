"""The CA certificates: fetched once, served on while their source is silent, fetched anew when the CA has rolled."""

import asyncio

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core.adoption import Seen
from shared.core.errors import Forbidden, OutcomeUnknown, Refusal, Unavailable, UpstreamRefused
from shared.core.est import Operation
from shared.core.table_rows import TableRow
from shared.flows.adopt import Adopted
from tests.fakes.devices import Device
from tests.fakes.digicert import FakeCa
from tests.fakes.world import Fakes

pytestmark = pytest.mark.anyio


def silent() -> Refusal:
    return Unavailable("the source is silent", retry_after=5)


async def test_devices_are_told_the_root_and_the_issuing_ca(world: Fakes) -> None:
    root, ica = world.ca.hierarchy.root.certificate, world.ca.hierarchy.ica.certificate
    assert await world.enroll.ca_certificates("") == (ica, root)
    assert await world.enroll.ca_certificates("devices") == (ica, root)
    assert world.calls.count("chain.fetch") == 1


async def test_nothing_is_ordered_while_the_chain_was_never_fetched(world: Fakes) -> None:
    world.calls.fail("chain.fetch", silent, times=2)
    with pytest.raises(Unavailable):
        await world.enroll.ca_certificates("")
    with pytest.raises(Unavailable):
        await world.post(world.device())
    assert world.upstream.orders == 0
    await world.birth(world.device())


async def test_a_chain_that_cannot_be_one_is_not_handed_on(world: Fakes) -> None:
    world.ca.announced.pop(0)
    with pytest.raises(UpstreamRefused, match="no root"):
        await world.enroll.ca_certificates("")


async def test_after_half_an_hour_it_is_refreshed_and_nobody_waits(world: Fakes) -> None:
    old = await world.enroll.ca_certificates("")
    world.ca.roll()
    world.source.seconds = 10
    world.clock.forward(seconds=30 * 60)
    before = world.clock()
    assert await world.enroll.ca_certificates("") == old
    assert world.clock() == before
    await asyncio.sleep(11)
    assert len(await world.enroll.ca_certificates("")) == 3
    assert world.calls.count("chain.fetch") == 2


async def test_while_the_source_is_silent_the_old_chain_is_served_and_the_source_left_alone(world: Fakes) -> None:
    old = await world.enroll.ca_certificates("")
    world.clock.forward(seconds=30 * 60)
    world.calls.fail("chain.fetch", silent)
    for _ in range(5):
        assert await world.enroll.ca_certificates("") == old
        await asyncio.sleep(5)
    assert world.calls.count("chain.fetch") == 2
    await asyncio.sleep(5)
    await world.enroll.ca_certificates("")
    await asyncio.sleep(1)
    assert world.calls.count("chain.fetch") == 3
    assert not world.chains.refreshing
    assert not world.chains.fetches


async def test_the_issuing_ca_may_roll_between_two_births(world: Fakes) -> None:
    await world.birth(world.device("dev-1"))
    world.ca.roll()
    device = world.device("dev-2")
    born = await world.birth(device)
    assert world.calls.count("chain.fetch") == 2
    await world.birth(device.with_new_key().with_issued(born.issued), Operation.SIMPLEREENROLL)


async def another_instance(world: Fakes) -> Fakes:
    """Of the same app: its memory alone is its own. It fetched the chain a minute ago."""
    elsewhere = Fakes(world.profiles, world.clock)
    elsewhere.ca, elsewhere.ledger = world.ca, world.ledger
    elsewhere.sources["devices"] = world.source
    elsewhere.inventories, elsewhere.upstreams = world.inventories, world.upstreams
    elsewhere.restart()
    await elsewhere.enroll.ca_certificates("")
    world.clock.forward(seconds=60)
    return elsewhere


async def test_where_another_instance_has_issued_under_a_new_ca_its_device_is_let_in(world: Fakes) -> None:
    """Its client asks for the next certificate seconds later, and meets whichever instance is free."""
    elsewhere = await another_instance(world)
    world.ca.roll()
    device = world.device()
    born = await world.birth(device)
    await elsewhere.birth(device.with_new_key().with_issued(born.issued))


async def test_devices_that_come_together_after_a_roll_wait_for_one_fetch(world: Fakes) -> None:
    elsewhere = await another_instance(world)
    world.ca.roll()
    born = [(await world.birth(world.device(f"dev-{number}"))).issued for number in range(3)]
    world.source.seconds = 5
    fetched = world.calls.count("chain.fetch")
    devices = [world.device(f"dev-{number}").with_issued(one) for number, one in enumerate(born)]
    await asyncio.gather(*(elsewhere.birth(one.with_new_key()) for one in devices))
    assert world.calls.count("chain.fetch") == fetched + 1


async def test_what_is_shown_is_none_of_ours_only_when_the_chain_says_so(world: Fakes) -> None:
    """Nobody shows it a second time."""
    await world.enroll.ca_certificates("")
    world.ca.roll()
    seen = []
    for number in range(3):
        leaf = world.ca.issue(Device(f"dev-{number}").request())
        der = leaf.public_bytes(Encoding.DER)
        seen.append(Seen("devices", f"dev-{number}", leaf.fingerprint(SHA256()).hex(), der))
    world.calls.fail("chain.fetch", silent, times=2)
    for one in seen[:2]:
        with pytest.raises(Unavailable):
            await world.adopt.look_up(one)
    assert [type(await world.adopt.look_up(one)) for one in seen] == [Adopted] * 3


async def test_while_the_chain_cannot_be_had_an_import_is_not_told_that_its_rows_are_of_another_ca(
    world: Fakes,
) -> None:
    await world.enroll.ca_certificates("")
    world.clock.forward(seconds=60)
    world.ca.roll()
    rows = [TableRow(number, {"certificate": pem(world.ca, f"dev-{number}")}) for number in range(1, 4)]
    world.calls.fail("chain.fetch", silent)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await world.adopt.take_all(world.profile, rows)
    world.clock.forward(seconds=60)
    assert {one.outcome for one in await world.adopt.take_all(world.profile, rows)} == {"adopted"}


async def test_strangers_cannot_have_the_chain_fetched_at_will(world: Fakes) -> None:
    await world.enroll.ca_certificates("")
    world.clock.forward(seconds=60)
    stranger = Device("dev-1")
    stranger = stranger.with_certificate(another_ca(world).issue(stranger.request()))
    for _ in range(5):
        with pytest.raises(Forbidden):
            await world.post(stranger)
    assert world.calls.count("chain.fetch") == 2
    world.clock.forward(seconds=60)
    world.calls.fail("chain.fetch", silent)
    with pytest.raises(Forbidden):
        await world.post(stranger)
    assert world.calls.count("chain.fetch") == 3


async def test_nor_can_rows_of_an_import(world: Fakes) -> None:
    world.clock.forward(seconds=60)
    ca = another_ca(world)
    rows = [TableRow(number, {"certificate": pem(ca, f"dev-{number}")}) for number in range(1, 9)]
    taken = await world.adopt.take_all(world.profile, rows)
    assert {one.outcome for one in taken} == {"refused"}
    assert world.calls.count("chain.fetch") == 1


def another_ca(world: Fakes) -> FakeCa:
    """None of its certificates leads to one of the label's."""
    ca = FakeCa(world.clock)
    ca.roll()
    return ca


def pem(ca: FakeCa, name: str) -> str:
    return ca.issue(Device(name).request()).public_bytes(Encoding.PEM).decode()


async def test_a_ca_that_rolled_while_its_chain_cannot_be_had_costs_nothing_but_time(world: Fakes) -> None:
    device = world.device()
    await world.birth(world.device("dev-1"))
    world.ca.roll()
    world.calls.fail("chain.fetch", silent)
    device = world.device("dev-2")
    with pytest.raises(Unavailable, match="to check the certificate") as refused:
        await world.post(device)
    assert refused.value.cause == "the source is silent: "
    await world.birth(device)
    assert world.upstream.orders == len(world.ca.issued) == 2


async def test_a_lost_answer_of_a_ca_that_rolled_is_found_all_the_same(world: Fakes) -> None:
    await world.birth(world.device("dev-1"))
    world.ca.roll()
    device = world.device("dev-2")
    world.upstream.behaves = ["lost_after"]
    with pytest.raises(OutcomeUnknown):
        await world.post(device)
    await world.birth(device)
    assert len(world.ca.issued) == 2


async def test_a_refresh_that_breaks_is_reported_and_tried_again(world: Fakes) -> None:
    """A mistake of ours is no refusal: the loop hears of it, and the chain is served on."""
    old = await world.enroll.ca_certificates("")
    heard: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: heard.append(context))
    world.clock.forward(seconds=30 * 60)
    world.calls.fail("chain.fetch", lambda: ZeroDivisionError("ours"))
    assert await world.enroll.ca_certificates("") == old
    await asyncio.sleep(1)
    loop.set_exception_handler(handler)
    assert [type(context["exception"]) for context in heard] == [ZeroDivisionError]
    world.clock.forward(seconds=30)
    await world.enroll.ca_certificates("")
    await asyncio.sleep(1)
    assert world.calls.count("chain.fetch") == 3
