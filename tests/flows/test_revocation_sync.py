"""What the CA has revoked blocks the device here, once, however it was found."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from shared.core.errors import Conflict, Refusal, Throttled, Unavailable
from shared.core.fleet import Block, LedgerCertificate
from shared.core.identity import DeviceId
from shared.core.revocation import Reason
from shared.flows.ports.revocation import Download
from shared.flows.revocation_sync import Alert, Synced
from tests.fakes.calls import Crash, Moment
from tests.fakes.digicert import DAY
from tests.fakes.revocation import CRL_URL, DEVICE, RevocationWorld, a_crl, an_entry

pytestmark = pytest.mark.anyio

LIST = Synced("digicert/devices", 0, 0)


@pytest.fixture
def world() -> RevocationWorld:
    return RevocationWorld()


def serial(held: LedgerCertificate) -> str:
    return held.certificate.serial


async def test_a_certificate_on_the_crl_revokes_its_device(world: RevocationWorld) -> None:
    held = world.certify()
    device = world.device("dev-1", held)
    world.device("dev-2")
    world.publish(an_entry("abc", world.clock()), an_entry(serial(held), world.clock()))
    assert await world.sync.run() == (Synced(CRL_URL, 1, 0), LIST)
    assert (world.row().block, world.row().block_reason) == (Block.REVOKED, "keyCompromise")
    assert (world.enabled(), world.enrollments.is_blocked(device)) == (False, True)
    saga = world.saga()
    assert (saga.caller, saga.reason, saga.comment) == (
        "crl",
        Reason.KEY_COMPROMISE,
        f"the CA has revoked the certificate {serial(held)}",
    )
    assert world.row(DeviceId("dev-2")).block is Block.NONE


async def test_a_revocation_that_is_dated_back_is_found_too(world: RevocationWorld) -> None:
    """DigiCert ONE dates it to the beginning of the certificate when nobody gives it a date."""
    held = world.certify()
    world.device("dev-1", held)
    others = [an_entry(f"{number:x}", world.clock()) for number in range(1, 9)]
    world.publish(*others)
    await world.sync.run()
    world.publish(*others, an_entry(serial(held), world.clock() - 300 * DAY), number=2)
    world.calls.made.clear()
    assert (await world.sync.run())[0] == Synced(CRL_URL, 1, 0)
    assert world.calls.count("index.by_serial") == 1


async def test_what_was_looked_up_is_not_looked_up_again(world: RevocationWorld) -> None:
    held = world.certify()
    world.device("dev-1", held)
    world.publish(an_entry(serial(held), world.clock()), etag='"1"')
    await world.sync.run()
    world.calls.made.clear()
    assert await world.sync.run() == (Synced(CRL_URL, 0, 0), LIST)
    world.publish(an_entry(serial(held), world.clock()), number=2, etag='"2"')
    assert await world.sync.run() == (Synced(CRL_URL, 0, 0), LIST)
    assert world.calls.count("index.by_serial") == 0


async def test_a_long_list_takes_several_runs_the_newest_entries_first(world: RevocationWorld) -> None:
    world.most_entries = 20
    held = world.certify()
    world.device("dev-1", held)
    entries = [an_entry(f"{number:x}", world.clock() - number * DAY) for number in range(1, 50)]
    world.publish(an_entry(serial(held), world.clock() - 100 * DAY), *entries, etag='"1"')
    assert (await world.sync.run())[0] == Synced(CRL_URL, 0, 30)
    assert (await world.sync.run())[0] == Synced(CRL_URL, 0, 10)
    assert (await world.sync.run())[0] == Synced(CRL_URL, 1, 0)
    world.calls.made.clear()
    assert (await world.sync.run())[0] == Synced(CRL_URL, 0, 0)
    assert world.calls.count("index.by_serial") == 0


async def test_marks_are_kept_in_rows_of_which_only_changed_ones_are_written(world: RevocationWorld) -> None:
    world.most_entries = 10_000
    entries = [an_entry(f"{number:x}", world.clock()) for number in range(1, 4500)]
    world.publish(*entries)
    await world.sync.run()
    assert len([name for name in world.watermarks.values if name.startswith("crl-")]) == 1 + 4
    world.publish(*entries, an_entry("ffffff", world.clock()), number=2)
    world.calls.made.clear()
    await world.sync.run()
    assert world.calls.count("watermarks.put") == 3  # one row, how far we are, and the list's page


async def test_a_hold_at_the_ca_is_a_hold_here_and_may_become_a_revocation(world: RevocationWorld) -> None:
    held = world.certify()
    device = world.device("dev-1", held)
    on_hold = an_entry(serial(held), world.clock(), x509.ReasonFlags.certificate_hold)
    world.publish(on_hold)
    assert (await world.sync.run())[0] == Synced(CRL_URL, 1, 0)
    assert world.row().block is Block.HOLD
    assert world.digicert.revoked == {}
    world.publish(on_hold, number=2)
    assert (await world.sync.run())[0] == Synced(CRL_URL, 0, 0)
    await world.begin(device, "restore")
    await world.sync.run()
    assert world.row().block is Block.NONE  # the operator has decided on this very hold
    world.publish(an_entry(serial(held), world.clock()), number=3)
    await world.sync.run()
    assert world.row().block is Block.REVOKED


async def test_a_held_device_is_revoked_when_the_ca_revokes(world: RevocationWorld) -> None:
    held = world.certify()
    await world.begin(world.device("dev-1", held), "hold")
    world.publish(an_entry(serial(held), world.clock(), None))
    await world.sync.run()
    assert (world.row().block, world.row().block_reason) == (Block.REVOKED, "unspecified")


@pytest.mark.parametrize("reason", [x509.ReasonFlags.superseded, x509.ReasonFlags.cessation_of_operation])
async def test_a_ca_that_revokes_what_was_renewed_blocks_nobody(
    world: RevocationWorld, reason: x509.ReasonFlags
) -> None:
    old, new = world.certify(), world.certify()
    world.device("dev-1", replace(old, status="superseded"), new)
    world.publish(an_entry(serial(old), world.clock(), reason))
    assert (await world.sync.run())[0] == Synced(CRL_URL, 0, 0)
    assert world.row().block is Block.NONE
    world.publish(an_entry(serial(new), world.clock(), reason), number=2)
    assert (await world.sync.run())[0] == Synced(CRL_URL, 1, 0)


async def test_an_old_key_that_is_compromised_does_block(world: RevocationWorld) -> None:
    old = replace(world.certify(), status="superseded")
    world.device("dev-1", old, world.certify())
    world.publish(an_entry(serial(old), world.clock()))
    await world.sync.run()
    assert world.row().block is Block.REVOKED


async def test_what_is_of_no_matter_is_left_alone(world: RevocationWorld) -> None:
    """A certificate that has ended, one of another CA with that serial, one the ledger has lost, one we revoked."""
    ended = world.certify("dev-1", days=0.01)
    other = world.certify("dev-2")
    other = replace(other, certificate=replace(other.certificate, issuer="CN=Another CA"))
    lost, done = world.certify("dev-3"), world.certify("dev-4")
    for number, held in enumerate((ended, other, lost, done), 1):
        world.device(f"dev-{number}", held)
    del world.ledger.rows["dev-3"][f"cert-{serial(lost)}"]  # type: ignore[index]
    await world.begin(DeviceId("dev-4"))
    world.clock.forward(days=1)
    world.publish(*(an_entry(serial(held), world.clock()) for held in (ended, other, lost, done)))
    world.ledger.serials["ff"] = DeviceId("dev-9")
    world.list.serials = ["ff"]
    assert await world.sync.run() == (Synced(CRL_URL, 0, 0), LIST)


async def test_a_stale_list_raises_an_alert_until_it_is_replaced(world: RevocationWorld) -> None:
    held = world.certify()
    world.device("dev-1", held)
    world.publish(an_entry(serial(held), world.clock()), etag='"1"')
    world.clock.forward(days=2)
    synced, alert, _ = await world.sync.run()
    assert synced == Synced(CRL_URL, 1, 0)
    assert isinstance(alert, Alert)
    assert "was to be replaced by 2026-03-03" in alert.text
    assert (await world.sync.run())[1] == alert  # 304: it still stands there
    world.publish(number=2, etag='"2"')
    assert await world.sync.run() == (Synced(CRL_URL, 0, 0), LIST)


async def test_a_list_that_promises_no_other_is_never_stale(world: RevocationWorld) -> None:
    world.publish(etag='"1"')
    await world.sync.run()
    name = next(name for name, value in world.watermarks.values.items() if value.startswith("{"))
    world.watermarks.values[name] = json.dumps(json.loads(world.watermarks.values[name]) | {"next_update": ""})
    world.clock.forward(days=9)
    assert await world.sync.run() == (Synced(CRL_URL, 0, 0), LIST)


async def test_an_old_list_played_back_is_an_alert_and_changes_nothing(world: RevocationWorld) -> None:
    held = world.certify()
    world.device("dev-1", held)
    world.publish(number=5)
    await world.sync.run()
    before = dict(world.watermarks.values)
    world.publish(an_entry(serial(held), world.clock()), number=4)
    alert, _ = await world.sync.run()
    assert alert == Alert(CRL_URL, "the CRL is older than the last one: number 4 after 5")
    assert world.row().block is Block.NONE
    assert world.watermarks.values == before


@pytest.mark.parametrize("broken", ["chain.fetch", "crls.fetch"])
async def test_one_source_that_fails_is_an_alert_and_the_others_are_read(world: RevocationWorld, broken: str) -> None:
    held = world.certify()
    world.device("dev-1", held)
    world.publish()
    world.list.serials = [serial(held)]
    world.calls.fail(broken, lambda: Unavailable("it does not answer", retry_after=1))
    alert, listed = await world.sync.run()
    assert isinstance(alert, Alert)
    assert listed == replace(LIST, blocked=1)


async def test_an_entry_that_could_not_be_looked_up_comes_again(world: RevocationWorld) -> None:
    held = world.certify()
    world.device("dev-1", held)
    world.publish(an_entry(serial(held), world.clock()), an_entry("ab", world.clock()), etag='"1"')
    world.calls.fail("index.by_serial", lambda: Unavailable("no", retry_after=1, cause="503"))
    synced, alert, _ = await world.sync.run()
    assert isinstance(synced, Synced)
    assert synced.left == 1
    assert alert == Alert(CRL_URL, "1 entries will be looked up again: no: 503")
    await world.sync.run()
    assert world.row().block is Block.REVOKED


async def test_after_many_failures_the_rest_waits_for_the_next_run(world: RevocationWorld) -> None:
    world.publish(*(an_entry(f"{number:x}", world.clock()) for number in range(1, 100)))
    world.calls.fail("index.by_serial", lambda: Unavailable("no", retry_after=1), times=1000)
    synced, _, _ = await world.sync.run()
    assert synced == Synced(CRL_URL, 0, 99)
    assert world.calls.count("index.by_serial") == 48


async def test_somebody_who_was_faster_is_no_failure(world: RevocationWorld) -> None:
    held = world.certify()
    device = world.device("dev-1", held)
    world.publish(an_entry(serial(held), world.clock(), x509.ReasonFlags.certificate_hold))

    async def revoked() -> None:
        if world.calls.count("ledger.load") == 2:
            world.calls.meanwhile.clear()
            await world.begin(device)

    world.calls.meanwhile["ledger.load"] = revoked
    assert await world.sync.run() == (Synced(CRL_URL, 0, 0), LIST)
    with pytest.raises(Conflict):
        await world.begin(device, "hold")


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
    assert await world.sync.run() == (Alert("digicert/devices", "later"),)


@pytest.mark.parametrize("error", [Crash, lambda: Unavailable("no", retry_after=1)], ids=["crash", "unavailable"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_run_that_died_at_any_call_is_made_up_for_by_the_next(
    moment: Moment, error: Callable[[], Exception]
) -> None:
    number, struck = 0, True
    while struck:
        world = RevocationWorld()
        listed, on_crl = world.certify("dev-1"), world.certify("dev-2")
        world.device("dev-1", listed)
        world.device("dev-2", on_crl)
        world.publish(an_entry(serial(on_crl), world.clock()), etag='"1"')
        world.list.serials = [serial(listed)]
        world.calls.fail_at(number, error, moment=moment)
        with contextlib.suppress(Crash, Refusal):
            await world.sync.run()
        struck = not world.calls.faults
        world.calls.faults.clear()
        await world.sync.run()
        for device in (DEVICE, DeviceId("dev-2")):
            if (known := world.known(device).saga) is not None and known.next is not None:
                await world.revoke.advance(device)
            assert world.row(device).block is Block.REVOKED
            assert world.saga(device).next is None
            assert world.enrollments.is_blocked(device)
        number += 1
    assert number > 30


async def test_a_crl_of_a_replaced_ca_is_believed_while_the_ca_is_remembered(world: RevocationWorld) -> None:
    held = world.certify()
    world.device("dev-1", held)
    await world.chain.fetch()
    old = world.ca.hierarchy.ica
    world.ca.roll()
    world.ca.announced.remove(old.certificate)
    der = a_crl(old, world.clock(), an_entry(serial(held), world.clock()), lifetime=timedelta(days=1))
    world.crls.served[CRL_URL] = Download(der)
    assert (await world.sync.run())[0] == Synced(CRL_URL, 1, 0)
