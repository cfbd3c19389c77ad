"""A CRL of any length is read once: what was looked up is known again, and what was not is not forgotten."""

import json
from dataclasses import replace

import pytest
from cryptography import x509

from shared.core.errors import Unavailable
from shared.core.fleet import Block
from shared.core.identity import DeviceId
from shared.flows.revocation_sync import Alert, Synced
from tests.fakes.digicert import DAY
from tests.fakes.revocation import CRL_URL, RevocationWorld, an_entry
from tests.flows.listing import LIST, serial

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> RevocationWorld:
    return RevocationWorld()


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


async def test_the_next_cas_list_at_the_same_address_begins_anew(world: RevocationWorld) -> None:
    """Its numbers begin at one, and its serial numbers may be the old CA's."""
    old, new = world.certify("dev-1"), world.certify("dev-2")
    world.device("dev-1", old)
    same = an_entry(serial(new), world.clock())
    world.publish(same, an_entry(serial(old), world.clock()), number=5000)
    await world.sync.run()
    world.ca.roll()
    issuer = world.ca.hierarchy.ica.certificate.subject.rfc4514_string()
    world.device("dev-2", replace(new, certificate=replace(new.certificate, issuer=issuer)))
    world.clock.forward(seconds=3600)  # by then the chain is fetched again
    await world.sync.run()
    world.publish(same, number=1)
    assert (await world.sync.run())[0] == Synced(CRL_URL, 1, 0)
    assert world.row(DeviceId("dev-2")).block is Block.REVOKED


async def test_holds_are_remembered_as_far_as_there_is_room(world: RevocationWorld) -> None:
    """A watermark has 32,000 characters."""
    world.most_entries = 2000
    hold = x509.ReasonFlags.certificate_hold
    world.publish(*(an_entry(f"{number + (1 << 158):x}", world.clock(), hold) for number in range(1000)))
    await world.sync.run()
    kept = [value for value in world.watermarks.values.values() if value.startswith("{")]
    assert max(map(len, kept)) < 32_000
    assert len(json.loads(kept[0])["holds"]) == 600
