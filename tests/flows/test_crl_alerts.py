"""A CRL that is missing, stale or not to be believed is an alert, and keeps no other from being read."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.errors import Unavailable
from shared.core.fleet import Block
from shared.flows.ports.revocation import Download
from shared.flows.revocation_sync import Alert, Synced
from tests.fakes.revocation import CRL_URL, RevocationWorld, a_crl, an_entry
from tests.flows.listing import LIST, serial

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> RevocationWorld:
    return RevocationWorld()


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


async def rolled(world: RevocationWorld) -> str:
    """A new CA has issued, and the old one's CRL is read; what an alert will say of the new one."""
    world.publish()
    await world.chain.fetch()
    world.ca.roll()
    await world.issuers.note(world.certify().certificate)
    return f"{world.ca.hierarchy.ica.certificate.subject.rfc4514_string()} has live certificates, and none of"


async def test_a_new_ca_whose_crl_nobody_reads_is_an_alert_until_its_address_is_there(world: RevocationWorld) -> None:
    said = await rolled(world)
    _, alert, _ = await world.sync.run()
    assert isinstance(alert, Alert)
    assert alert.source == "devices"
    assert alert.text.startswith(said)
    assert alert.text.endswith("add the address to crl_urls")
    world.crls.served["http://crl.one.digicert.com/ica-2.crl"] = Download(
        a_crl(world.ca.hierarchy.ica, world.clock()), '"1"'
    )
    for _ in range(2):  # the second time it is known from before: 304
        assert not any(isinstance(one, Alert) for one in await world.sync.run())


async def test_a_ca_without_live_certificates_needs_no_crl(world: RevocationWorld) -> None:
    await rolled(world)
    world.clock.forward(days=91)
    world.publish()
    world.crls.served["http://crl.one.digicert.com/ica-2.crl"] = world.crls.served.pop(CRL_URL)
    assert not any(isinstance(one, Alert) for one in await world.sync.run())


async def test_of_a_list_that_cannot_be_read_there_is_one_alert(world: RevocationWorld) -> None:
    await rolled(world)
    world.calls.fail("crls.fetch", lambda: Unavailable("no", retry_after=1))
    assert await world.sync.run() == (Alert(CRL_URL, "no"), LIST)


async def test_a_label_without_crls_is_asked_for_none(world: RevocationWorld) -> None:
    await rolled(world)
    world.crls.served.clear()
    assert await world.sync.run() == (LIST,)
