"""The life of a device, end to end: born over EST, assigned by DPS, let in by its hub, renewed, never offline."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import device, ports
from sandbox.device import Identity, Registration
from tests.e2e.est import PKCS10, Site, eventually, leaf, ordinary, refused

LABELS = pytest.mark.parametrize("label", ["", "est", "rest", "unwrapped", "individual"])


def enrolled(site: Site, label: str, name: str, identity: Identity) -> Identity:
    """As `aziot-certd` does it, for the first certificate and for every other."""
    url = f"{site.sandbox.edge}/.well-known/est" + (f"/{label}" if label else "")
    return device.enroll(url, site.sandbox.tls_root, name, device.new_key(), identity=identity)


def registered(site: Site, identity: Identity) -> Registration:
    return device.register(ports.DPS_HOST, ports.DPS_ID_SCOPE, site.sandbox.tls_root, identity)


def let_in(site: Site, hub: str, identity: Identity) -> bool:
    return device.connect(hub, site.sandbox.tls_root, identity)[0]


def told(site: Site, event: str, name: str) -> list[dict[str, Any]]:
    """What the app's own log says of an event of this device."""
    lines = (site.sandbox.state / "logs" / "host.log").read_text().splitlines()
    records = (json.loads(line) for line in lines if line.startswith(f'{{"event": "{event}"'))
    return [record for record in records if record.get("device_id") == name]


def bound(site: Site, name: str, times: int = 1) -> bool:
    """The hub's event has reached the ledger: hub and certificate belong together now."""

    def look() -> bool:
        return [record["outcome"] for record in told(site, "hub_event", name)].count("Done") >= times

    return eventually(look)


def deliveries(site: Site, name: str) -> list[dict[str, Any]]:
    return [
        entry
        for entry in site.sandbox.journal()
        if entry["event"] == "event delivery" and entry["subject"] == f"devices/{name}"
    ]


@LABELS
def test_a_device_is_born_provisioned_renewed_and_never_offline(site: Site, label: str) -> None:
    name = f"life-{label or 'default'}"
    first = enrolled(site, label, name, site.identity(name))
    assert len(first.chain) == 3
    assignment = registered(site, first)
    assert (assignment.status, assignment.device_id) == ("assigned", name)
    assert let_in(site, assignment.hub, first)
    assert bound(site, name)

    second = enrolled(site, label, name, first)
    assert second.leaf.serial_number != first.leaf.serial_number
    assert let_in(site, assignment.hub, first), "a renewal must not take the device offline"
    # The renewed one may fail to reach the device: DPS goes on taking the old one as well.
    assert registered(site, first).status == "assigned"
    again = registered(site, second)
    assert (again.status, again.hub) == ("assigned", assignment.hub)
    assert let_in(site, again.hub, second)
    assert not let_in(site, again.hub, first), "DPS has written the new thumbprint over the old one"

    third = enrolled(site, label, name, second)
    assert registered(site, third).hub == assignment.hub
    assert let_in(site, assignment.hub, third)
    serials = {f"{one.leaf.serial_number:032X}" for one in (first, second, third)}
    assert {entry["serial"] for entry in site.issued(name=name)} == serials


def test_devices_are_spread_over_the_hubs_and_stay_where_they_are(site: Site) -> None:
    hubs = {}
    for number in range(8):
        name = f"spread-{number}"
        born = enrolled(site, "", name, site.identity(name))
        hubs[name] = registered(site, born).hub
        assert registered(site, born).hub == hubs[name]
    assert set(hubs.values()) == set(ports.HUBS.values())


def test_events_twice_and_in_any_order_bind_each_device_once(site: Site) -> None:
    site.sandbox.control("PUT", "/event-grid", {"duplicates": 2, "reorder": True})
    names = [f"events-{number}" for number in range(3)]
    born = {name: enrolled(site, "", name, site.identity(name)) for name in names}
    hubs = {name: registered(site, identity).hub for name, identity in born.items()}
    for name in names:
        assert bound(site, name, times=3)
        assert eventually(lambda name=name: len(deliveries(site, name)) == 3)  # type: ignore[misc]
        assert {entry["outcome"] for entry in deliveries(site, name)} <= {200, 202, 204}
        assert let_in(site, hubs[name], born[name])
        assert len(site.issued(name=name)) == 1


def test_an_event_is_taken_at_its_first_delivery(site: Site) -> None:
    name = "events-once"
    born = enrolled(site, "", name, site.identity(name))
    assert registered(site, born).status == "assigned"
    assert bound(site, name)
    assert eventually(lambda: deliveries(site, name))
    assert {(entry["attempt"], entry["outcome"]) for entry in deliveries(site, name)} <= {(1, 200), (1, 202), (1, 204)}


def test_a_factory_certificate_is_for_the_first_enrollment_alone(site: Site) -> None:
    """And it may enroll anew at any time: a device that was reset has nothing else."""
    name = "life-reset"
    factory = site.identity(name)
    key = device.new_key("ec-p256")
    refused(site.enroll(factory, ordinary(name, key), operation="simplereenroll"), 403, "use simpleenroll")
    first = leaf(site.enroll(factory, ordinary(name, key)))
    refused(site.enroll(factory, ordinary(name, key), operation="simplereenroll"), 403, "use simpleenroll")
    other = device.new_key("ec-p256")
    assert leaf(site.enroll(factory, ordinary(name, other))).serial_number != first.serial_number


@pytest.mark.parametrize("operation", ["simpleenroll", "simplereenroll"])
def test_an_issued_certificate_renews_its_own_device_alone(site: Site, operation: str) -> None:
    name = f"life-own-{operation}"
    key = device.new_key("ec-p256")
    born = Identity(key, (leaf(site.enroll(site.identity(name), ordinary(name, key))),))
    with site.nothing_issued():
        refused(site.enroll(born, ordinary("life-other", key), operation=operation), 403, "not the device")
        refused(site.enroll(born, ordinary(name.upper(), key), operation=operation), 403, "not the device")
    renewed = leaf(site.enroll(born, ordinary(name, key), operation=operation))
    assert renewed.serial_number != born.leaf.serial_number


def test_a_passcode_renews_what_it_has_enrolled(site: Site) -> None:
    """Of a label whose passcode is for devices that renew by it (`existing_devices = "accept"`)."""
    name, key = "life-passcode", device.new_key("ec-p256")
    headers = (PKCS10, site.passcode())
    with site.nothing_issued():
        early = site.enroll(None, ordinary(name, key), headers=headers, operation="simplereenroll")
        refused(early, 403, "no certificate of this subject")
    first = leaf(site.enroll(None, ordinary(name, key), headers=headers))
    new = device.new_key("ec-p256")
    second = leaf(site.enroll(None, ordinary(name, new), headers=headers, operation="simplereenroll"))
    assert first.serial_number != second.serial_number


def test_a_rogue_certificate_gets_nowhere(site: Site, tmp_path: Path) -> None:
    """Signed by a CA that bears the factory CA's name: not at Birthcert, not at DPS, not at a hub."""
    certificate, key = site.sandbox.mint("life-rogue", tmp_path, "--rogue")
    refused_by_dps = site.sandbox.run("connect", "--cert", certificate, "--key", key)
    answer = json.loads(refused_by_dps.stdout)
    assert refused_by_dps.returncode == 1
    assert (answer["registrationId"], answer["assignedHub"], answer["hub"]) == ("life-rogue", "", "skipped")
    assert answer["dps"] == "refused"
    assert "certificate" in answer["dpsReason"]
    refused_by_hub = site.sandbox.run("connect", "--cert", certificate, "--key", key, "--hub", "hub-a")
    assert refused_by_hub.returncode == 1
    assert json.loads(refused_by_hub.stdout)["hub"] == "refused"


def test_the_commands_tell_a_script_all_it_needs(site: Site, tmp_path: Path) -> None:
    """`mint` prints where the files are; `connect` one line of JSON; the exit status says yes or no."""
    made = site.sandbox.run("mint", "--cn", "life-cli", "--out", tmp_path)
    assert made.returncode == 0
    assert made.stdout.split() == [str(tmp_path / "life-cli.pem"), str(tmp_path / "life-cli.key")]
    assert (tmp_path / "life-cli.key").stat().st_mode & 0o077 == 0
    born = enrolled(site, "", "life-cli", site.identity("life-cli"))
    chain, key = tmp_path / "born.pem", tmp_path / "born.key"
    chain.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in born.chain))
    key.write_bytes(born.pem().partition(b"-----BEGIN CERTIFICATE-----")[0])

    early = site.sandbox.run("connect", "--cert", chain, "--key", key, "--hub", "hub-a")
    assert early.returncode == 1
    assert json.loads(early.stdout) == {
        "registrationId": "life-cli",
        "assignedHub": "",
        "dps": "skipped",
        "hub": "refused",
        "hubReason": json.loads(early.stdout)["hubReason"],
    }
    first = site.sandbox.run("connect", "--cert", chain, "--key", key)
    assert first.returncode == 0, first.stdout
    assert first.stdout.count("\n") == 1
    answer = json.loads(first.stdout)
    assert answer == {"registrationId": "life-cli", "assignedHub": answer["assignedHub"], "dps": "assigned"} | {
        "hub": "connected"
    }
    hub = next(name for name, host in ports.HUBS.items() if host == answer["assignedHub"])
    direct = site.sandbox.run("connect", "--cert", chain, "--key", key, "--hub", hub)
    assert direct.returncode == 0
    assert json.loads(direct.stdout) == {
        "registrationId": "life-cli",
        "assignedHub": "",
        "dps": "skipped",
        "hub": "connected",
    }
    nowhere = site.sandbox.run("connect", "--cert", chain, "--key", key, "--hub", "hub-z")
    assert (nowhere.returncode, nowhere.stdout) == (1, "")
    assert "hub-a, hub-b" in nowhere.stderr
