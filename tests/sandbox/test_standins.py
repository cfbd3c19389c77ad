"""The stand-ins together: what a deployment joins, and what the control's levers move."""

from sandbox import pki, standins
from sandbox.control import Levers
from sandbox.credentials import new_credentials
from sandbox.digicert.ca import EST_PROFILE, Request
from sandbox.dps.diagnostics import Reader
from sandbox.files import Authorities
from sandbox.standins import StandIns
from sandbox.world import World, new_world


def made() -> tuple[World, StandIns, Levers]:
    world = new_world()
    now = world.clock.now()
    authorities = Authorities(pki.tls_root(), pki.issuing_hierarchy(now), pki.factory_authority(now))
    credentials = new_credentials(world)
    stand_ins = standins.make(world, credentials, authorities)
    return world, stand_ins, standins.levers(world, stand_ins, credentials)


def test_the_app_is_subscribed_to_what_it_has_functions_for() -> None:
    world, stand_ins, levers = made()
    stand_ins.deployed({"hub_events", "est"}, [])
    levers.new_secret_version("digicert-api-key", "new")
    assert world.journal.since(0)[-1]["to"] == []
    assert reader(stand_ins) is None
    stand_ins.deployed({"hub_events", "secret_renewed"}, ["dps-logs"])
    levers.new_secret_version("digicert-api-key", "newer")
    assert world.journal.since(0)[-1]["to"] == ["secret_renewed"]
    assert reader(stand_ins) == Reader("http://127.0.0.1:7071/admin/eventhubs", stand_ins.master_key)
    assert stand_ins.master_key not in repr(reader(stand_ins))


def test_what_a_deployment_sets_up_in_dps_can_be_taken_back_and_done_again() -> None:
    _, stand_ins, levers = made()

    def held() -> tuple[list[str], list[str], list[str]]:
        return list(stand_ins.dps.hubs), list(stand_ins.dps.verified), list(stand_ins.dps.groups)

    before = held()
    assert before == (list(stand_ins.hubs), ["root"], ["birthcert"])
    levers.deployment(False)
    assert held() == ([], [], [])
    assert (stand_ins.arm.links, stand_ins.arm.certificates) == ([], {})
    levers.deployment(True)
    assert held() == before
    assert [one["name"] for one in stand_ins.arm.links] == list(stand_ins.hubs)


def reader(stand_ins: StandIns) -> Reader | None:
    return stand_ins.dps.diagnostics.reader


def test_the_levers_reach_the_ca_and_the_events() -> None:
    world, stand_ins, levers = made()
    request = Request("dev-1", pki.common_name("dev-1"), stand_ins.ca.hierarchy.ica.key.public_key(), None)
    issued = stand_ins.ca.issue(request, EST_PROFILE)
    assert "no certificate with the serial number 01" in levers.revoke("01", "key_compromise")
    assert "reason is one of" in levers.revoke(issued.serial_number, "superseded")
    assert levers.revoke(issued.serial_number.lower(), "key_compromise") == ""
    assert issued.status(world.clock.now()) == "REVOKED"
    assert levers.roll(True) == stand_ins.ca.cas[-1].id
    levers.renew_any_time(True)
    assert stand_ins.ca.renew_any_time
    levers.properties_as_text(True)
    assert stand_ins.dps.diagnostics.properties_as_text
    levers.event_grid(2, True)
    assert (stand_ins.events.duplicates, stand_ins.events.reorder) == (2, True)
    stand_ins.events.published.append({"id": "1"})
    assert (levers.published(), levers.dead_letters()) == ([{"id": "1"}], [])
