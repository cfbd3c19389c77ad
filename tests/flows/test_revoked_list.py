"""DigiCert ONE's own list of what is revoked: it tells neither reason nor order, and may be long."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from cryptography import x509

from shared.core.errors import Throttled, Unavailable
from shared.core.fleet import Block
from shared.core.identity import DeviceId
from shared.flows.revocation_sync import Alert, RevocationSync, Synced
from tests.fakes.revocation import CRL_URL, RevocationWorld, an_entry
from tests.flows.listing import LIST, serial

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> RevocationWorld:
    return RevocationWorld()


async def test_digicert_ones_list_blocks_too(world: RevocationWorld) -> None:
    held = world.certify()
    world.device("dev-1", held)
    world.list.serials = ["a", serial(held)]
    assert await world.sync.run() == (replace(LIST, blocked=1),)
    assert (world.saga().caller, world.row().block_reason) == ("digicert", "unspecified")
    assert await world.sync.run() == (LIST,)


async def test_the_list_leaves_a_hold_a_hold(world: RevocationWorld) -> None:
    """It shows revoked for both, and a revocation cannot be undone."""
    held = world.certify()
    await world.begin(world.device("dev-1", held), "hold")
    world.list.serials = [serial(held)]
    await world.sync.run()
    assert world.row().block is Block.HOLD


async def test_a_long_list_is_read_on_where_the_last_run_stopped(world: RevocationWorld) -> None:
    """And its first page in each run, where the newest stand."""
    held = [world.certify(f"dev-{number}") for number in range(3)]
    for number, one in enumerate(held):
        world.device(f"dev-{number}", one)
    fill = [f"{number:x}" for number in range(1, 150)]
    world.list.serials = [serial(held[0]), *fill, serial(held[1])]
    assert await world.sync.run() == (replace(LIST, blocked=1),)
    assert world.watermarks.values["revoked-devices"] == "100"
    world.list.serials.insert(0, serial(held[2]))
    assert await world.sync.run() == (replace(LIST, blocked=2),)
    assert world.watermarks.values["revoked-devices"] == "0"


async def test_a_list_that_got_shorter_begins_again(world: RevocationWorld) -> None:
    world.watermarks.values["revoked-devices"] = "100"
    world.list.serials = ["a", "b", "c"]
    await world.sync.run()
    assert world.watermarks.values["revoked-devices"] == "0"


async def test_a_failure_in_the_list_is_an_alert(world: RevocationWorld) -> None:
    world.list.serials = ["a"]
    world.calls.fail("index.by_serial", lambda: Unavailable("no", retry_after=1))
    assert len(await world.sync.run()) == 2
    world.calls.fail("list.page", lambda: Throttled("later", retry_after=1))
    assert await world.sync.run() == (LIST, Alert("digicert/devices", "later"))


@pytest.mark.parametrize(("failing", "kept"), [(1, "4"), (2, "4"), (3, "6")])
async def test_a_page_that_fails_is_where_the_next_run_goes_on(world: RevocationWorld, failing: int, kept: str) -> None:
    """Or no page behind one that is always throttled would ever be read."""
    held = world.certify()
    world.device("dev-1", held)
    world.list.serials = ["a", "b", "c", "d", "e", "f", "a1", serial(held)]
    world.watermarks.values["revoked-devices"] = "4"
    pages = iter(range(1, 9))

    async def throttled() -> None:
        if next(pages) == failing:
            raise Throttled("later", retry_after=1)

    world.calls.meanwhile["list.page"] = throttled
    assert await world.sync.run() == (LIST, Alert("digicert/devices", "later"))
    assert world.watermarks.values["revoked-devices"] == kept
    assert await world.sync.run() == (replace(LIST, blocked=1),)


async def test_a_list_that_never_ends_ends_the_run(world: RevocationWorld) -> None:
    world.list.serials = ["a"] * 10_000
    await world.sync.run()
    assert world.calls.count("list.page") == 50


async def test_where_a_crl_tells_the_list_is_a_hold_until_it_has_come(world: RevocationWorld) -> None:
    """The list shows a hold at the CA like a revocation, and a revocation cannot be undone here."""
    held = world.certify()
    device = world.device("dev-1", held)
    world.publish()
    world.list.serials = [serial(held)]
    assert (await world.sync.run())[1] == replace(LIST, blocked=1)
    assert (world.row().block, world.enrollments.is_blocked(device)) == (Block.HOLD, True)
    assert world.digicert.revoked == {}
    world.publish(an_entry(serial(held), world.clock()), number=2)
    assert (await world.sync.run())[0] == Synced(CRL_URL, 1, 0)
    assert (world.row().block, world.row().block_reason) == (Block.REVOKED, "keyCompromise")


async def test_a_listed_hold_that_an_operator_has_undone_stays_undone(world: RevocationWorld) -> None:
    held = world.certify()
    device = world.device("dev-1", held)
    world.publish()
    world.list.serials = [serial(held)]
    await world.sync.run()
    await world.begin(device, "restore")
    world.clock.forward(seconds=1800)
    assert (await world.sync.run())[1] == LIST
    assert world.row().block is Block.NONE


async def test_where_a_crl_tells_the_list_has_no_word_for_what_was_replaced(world: RevocationWorld) -> None:
    """Many CAs revoke what is renewed: the CRL's reason says whether this is more than that."""
    old, new = world.certify(), world.certify()
    world.device("dev-1", replace(old, status="superseded"), new)
    world.publish()
    world.list.serials = [serial(old)]
    assert await world.sync.run() == (Synced(CRL_URL, 0, 0), LIST)
    assert (world.row().block, world.status(old)) == (Block.NONE, "superseded")


async def test_a_hold_of_the_crl_that_an_operator_has_undone_is_not_set_again_by_the_list(
    world: RevocationWorld,
) -> None:
    """The list shows it as revoked, also while the CRL stays as it is, or does not answer."""
    held = world.certify()
    device = world.device("dev-1", held)
    world.publish(an_entry(serial(held), world.clock(), x509.ReasonFlags.certificate_hold), etag='"1"')
    world.list.serials = [serial(held)]
    await world.sync.run()
    await world.begin(device, "restore")
    for broken in (False, True):
        world.clock.forward(seconds=1800)
        if broken:
            world.calls.fail("crls.fetch", lambda: Throttled("later", retry_after=1))
        assert (await world.sync.run())[1] == LIST
        assert world.row().block is Block.NONE


OTHER = "other"


def shared_list(world: RevocationWorld) -> RevocationSync:
    """Two labels under the same account, the first with a CRL; a third is under another one."""
    urls = {**world.sync.urls, "third": ()}
    return replace(world.sync, urls=urls, lists={("devices", OTHER): world.list})


async def test_of_an_account_that_labels_share_each_certificate_is_judged_by_its_own(world: RevocationWorld) -> None:
    """Where a CRL tells, the list is a hold; and of a third label it has no word."""
    world.publish()
    labels = {"dev-1": "devices", "dev-2": OTHER, "dev-3": "third"}
    for name, label in labels.items():
        held = replace(world.certify(name), label=label)
        world.device(name, held)
        world.list.serials.append(serial(held))
    synced = (await shared_list(world).run())[-1]
    assert synced == Synced("digicert/devices+other", 2, 0)
    blocks = [world.row(DeviceId(name)).block for name in labels]
    assert blocks == [Block.HOLD, Block.REVOKED, Block.NONE]


async def test_what_a_label_holds_that_was_renamed_is_blocked_all_the_same(world: RevocationWorld) -> None:
    """The certificate is in use, whatever its label is called now."""
    held = replace(world.certify(), label="renamed")
    world.device("dev-1", held)
    world.list.serials = [serial(held)]
    assert await world.sync.run() == (replace(LIST, blocked=1),)
    assert world.row().block is Block.REVOKED


async def test_what_a_renamed_label_holds_is_judged_like_the_lists_own(world: RevocationWorld) -> None:
    """Where a CRL tells the list is a hold, and of one that the CRL has on hold and of what was replaced it is silent:
    the label's CAs are the same.
    """
    in_use, on_hold, old, new = [replace(world.certify(name), label="renamed") for name in ("a", "b", "c", "c")]
    world.device("dev-1", in_use)
    undone = world.device("dev-2", on_hold)
    world.device("dev-3", replace(old, status="superseded"), new)
    entry = an_entry(serial(on_hold), world.clock(), x509.ReasonFlags.certificate_hold)
    world.publish(entry, etag='"1"')
    await world.sync.run()
    await world.begin(undone, "restore")
    world.list.serials = [serial(in_use), serial(on_hold), serial(old)]
    assert (await shared_list(world).run())[-1] == Synced("digicert/devices+other", 1, 0)
    blocks = [world.row(DeviceId(f"dev-{number}")).block for number in (1, 2, 3)]
    assert blocks == [Block.HOLD, Block.NONE, Block.NONE]


async def test_of_an_account_that_labels_share_the_list_is_read_once(world: RevocationWorld) -> None:
    world.list.serials = ["a", "b", "c"]
    await shared_list(world).run()
    assert world.calls.count("list.page") == 2
    assert world.calls.count("index.by_serial") == 3
    assert [name for name in world.watermarks.values if name.startswith("revoked-")] == ["revoked-devices"]


async def test_an_index_that_is_behind_names_a_device_without_the_certificate(world: RevocationWorld) -> None:
    world.device("dev-1")
    world.ledger.serials["abc"] = DeviceId("dev-1")
    world.list.serials = ["abc"]
    assert await world.sync.run() == (LIST,)


async def test_after_many_failures_the_rest_of_a_page_waits_for_the_next_run(world: RevocationWorld) -> None:
    world.list.page_size = 100
    world.list.serials = [f"{number:x}" for number in range(1, 100)]
    world.calls.fail("index.by_serial", lambda: Unavailable("no", retry_after=1), times=1000)
    _, alert = await world.sync.run()
    assert alert == Alert("digicert/devices", "48 entries will be looked up again: no: ")
    assert world.calls.count("index.by_serial") == 48


async def test_a_page_with_failures_is_read_again_by_the_next_run(world: RevocationWorld) -> None:
    """And after that its turn comes again: or no page behind one that always fails would ever be read."""
    world.list.page_size = 1
    world.list.serials = [f"{number:x}" for number in range(1, 101)]
    kept = []
    for _ in range(4):
        at = int(world.watermarks.values.get("revoked-devices", "0").split()[0])
        read = iter((0, *range(max(1, at), 100)))

        async def asked(read: Iterator[int] = read) -> None:
            if next(read) in (0, 3, 5):
                raise Unavailable("no", retry_after=1)

        world.calls.meanwhile["index.by_serial"] = asked
        await world.sync.run()
        kept.append(world.watermarks.values["revoked-devices"])
    assert kept == ["3 again", "5 again", "54", "0"]
