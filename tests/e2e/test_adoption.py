"""A device got its certificate past Birthcert. From when it first appears, or is imported, it has the same life."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import device as devices
from sandbox import pki, ports
from sandbox.births.ways import WAYS, Way
from sandbox.connected import Connected
from sandbox.device import Identity
from tests.e2e.est import Site, eventually
from tests.e2e.living import Living, register
from tests.e2e.operators import Json, Operator, problem, read
from tests.e2e.portal import Portal

PEM = ("Content-Type", "application/x-pem-file")
IMPORT = "/api/certificates/import?label=est"
STOLEN = {"reason": "keyCompromise", "comment": "stolen"}
BY_NAME = {way.name: way for way in WAYS}

every_way = pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, id=way.name, marks=pytest.mark.skipif(bool(way.missing()), reason=way.missing()))
        for way in WAYS
    ],
)


def serial(identity: Identity) -> str:
    return f"{identity.leaf.serial_number:x}"


def thumbprint(identity: Identity) -> str:
    return identity.leaf.fingerprint(hashes.SHA256()).hex()


def born(site: Site, name: str, way: Way = BY_NAME["ACME"]) -> Identity:
    """By other people's client, straight from DigiCert ONE."""
    identity = way.enroll(site.sandbox.state, name)
    assert identity.name == name
    return identity


def view(operator: Operator, name: str) -> Json:
    """Of a device that may not be known yet: then nothing."""
    answer = operator.send("GET", f"/api/devices/{name}")
    return read(answer) if answer.status == 200 else {}


def state(operator: Operator, name: str) -> str:
    return str(view(operator, name).get("rotation", {}).get("state", "not known"))


def in_its_hub(site: Site, identity: Identity) -> Living:
    assignment = register(site, identity)
    assert assignment.status == "assigned", assignment
    return Living(site, "", site.identity(identity.name), identity, assignment.hub)


def adopted(operator: Operator, device: Living) -> None:
    """By itself: nobody has told Birthcert but DPS or the hub."""
    assert eventually(lambda: state(operator, device.name) == "settled"), view(operator, device.name)
    shown = operator.device(device.name)
    assert (shown["label"], shown["hub"]) == ("est", device.hub_name)
    (certificate,) = shown["certificates"]
    assert (certificate["serial"], certificate["source"]) == (device.serial, "adopted")
    assert certificate["digicert_id"], "it was found on DigiCert ONE's list"


@every_way
def test_it_is_adopted_by_itself_renews_without_downtime_and_is_revoked(
    operator: Operator, portal: Portal, site: Site, way: Way
) -> None:
    device = in_its_hub(site, born(site, f"adopted-{way.name.lower()}", way))
    assert device.let_in()
    adopted(operator, device)
    tags = portal.twin(device.hub, device.name)["tags"]["certificate"]
    assert (tags["serial"], tags["profile"]) == (device.serial, "est")

    fresh = device.renewed()
    assert device.let_in(), "the certificate in use is not thrown out"
    assert device.let_in(fresh), "the new one is let in before the device has it"
    with Connected(device.hub, fresh, site.tls, device.renewed, lambda _: device.hub) as live:
        assert eventually(lambda: operator.device(device.name)["rotation"]["current"] == serial(fresh))
        assert live.refusals == []
    sources = {one["serial"]: one["source"] for one in operator.device(device.name)["certificates"]}
    assert sources == {device.serial: "adopted", serial(fresh): "est"}

    operator.done(device.name, "revoke", STOLEN)
    device.is_shut_out()
    assert not device.let_in(fresh)
    assert device.registers(fresh).status != "assigned"
    assert device.on_the_books() == {"REVOKED"}


def test_what_dps_shows_is_looked_up_while_dps_has_its_answer(operator: Operator, portal: Portal, site: Site) -> None:
    site.sandbox.control("PUT", "/dps/webhook", {"shows_certificate": True})
    identity = born(site, "adopted-shown")
    device = in_its_hub(site, identity)
    assert [one["adoption"] for one in portal.log("allocation", device_id=device.name)] == ["Queued"]
    assert eventually(lambda: portal.log("adopt", device_id=device.name, thumbprint=thumbprint(identity)))
    adopted(operator, device)


def test_a_certificate_from_elsewhere_that_the_device_registers_again_with_is_adopted_too(
    operator: Operator, site: Site
) -> None:
    """It has renewed past Birthcert, and DPS writes the new thumbprint into its hub. There is no event of the hub's."""
    site.sandbox.control("PUT", "/dps/webhook", {"shows_certificate": True})
    device = in_its_hub(site, born(site, "adopted-again"))
    adopted(operator, device)
    second = born(site, device.name)
    assert device.registers(second).status == "assigned"
    assert eventually(lambda: operator.device(device.name)["rotation"]["latest"] == serial(second))
    with Connected(device.hub, second, site.tls, device.renewed, lambda _: device.hub):
        assert eventually(lambda: state(operator, device.name) == "settled")
    assert operator.device(device.name)["rotation"]["current"] == serial(second)
    assert device.let_in(second)


def test_an_operator_imports_what_the_factory_has_had_issued(operator: Operator, site: Site) -> None:
    first, second = born(site, "imported-1"), born(site, "imported-2")
    stranger = pki.issue_leaf(
        pki.issuing_hierarchy(first.leaf.not_valid_before_utc).ica,
        "imported-3",
        first.key.public_key(),
        first.leaf.not_valid_before_utc,
    )
    bundle = b"".join(one.public_bytes(Encoding.PEM) for one in (first.leaf, stranger, second.leaf))
    answer = operator.send("POST", IMPORT, bundle, [PEM])
    assert answer.status == 200, answer.text
    rows = [(one["device_id"], one["outcome"], one["serial"]) for one in read(answer)["rows"]]
    assert rows == [
        ("imported-1", "adopted", serial(first)),
        ("", "refused", None),
        ("imported-2", "adopted", serial(second)),
    ]
    assert read(operator.send("POST", IMPORT, bundle, [PEM]))["outcomes"] == {"known": 2, "refused": 1}
    assert state(operator, "imported-1") == "unseen"

    device = in_its_hub(site, first)
    assert eventually(lambda: state(operator, device.name) == "settled")
    assert device.let_in(device.renewed())


def test_an_import_that_breaks_its_form_is_refused_whole(operator: Operator) -> None:
    assert problem(operator.send("POST", IMPORT, b"nothing", [PEM]))[0] == 400
    assert problem(operator.send("POST", IMPORT, b"{}", [("Content-Type", "application/json")]))[0] == 415
    assert (
        problem(operator.send("POST", "/api/certificates/import?label=nowhere", b"-----BEGIN CERTIFICATE-----", [PEM]))[
            0
        ]
        == 404
    )


def test_a_device_that_somebody_puts_into_a_hub_by_its_thumbprint_is_adopted(
    operator: Operator, portal: Portal, site: Site
) -> None:
    identity, hub = born(site, "adopted-by-hand"), ports.HUBS["hub-b"]
    portal.make_identity(hub, identity.name, thumbprint(identity).upper())
    device = Living(site, "", site.identity(identity.name), identity, hub)
    adopted(operator, device)
    assert device.let_in()
    assert device.let_in(device.renewed())


def test_a_device_that_is_none_of_ours_is_left_alone(operator: Operator, portal: Portal) -> None:
    """Somebody has put it there with a certificate of its own making."""
    name, shown, hub = "adopted-by-nobody", "ab" * 32, ports.HUBS["hub-b"]
    portal.make_identity(hub, name, shown)
    (record,) = eventually(lambda: portal.log("adopt", device_id=name))
    assert (record["outcome"], record["thumbprint"], record["hub"]) == ("not taken", shown, "hub-b")
    assert operator.send("GET", f"/api/devices/{name}").status == 404
    found = portal.identity(hub, name)
    assert found is not None
    assert found["status"] == "enabled"
    portal.delete_identity(hub, name)


def test_what_was_revoked_before_it_was_seen_shuts_its_device_out(
    operator: Operator, portal: Portal, site: Site
) -> None:
    """DPS and the hub let it in. The CRL has told of it long ago, when nobody here knew the certificate."""
    identity = born(site, "adopted-revoked")
    revoked = {"serial": f"{identity.leaf.serial_number:032X}", "reason": "key_compromise"}
    site.sandbox.control("POST", "/digicert/revoke", revoked)
    before = len(portal.log("revocation_sync"))
    portal.run_timer("revocation_sync")
    assert eventually(lambda: len(portal.log("revocation_sync")) > before)

    device = in_its_hub(site, identity)
    assert eventually(lambda: (view(operator, device.name).get("saga") or {}).get("done"))
    assert operator.device(device.name)["block"]["state"] == "hold"
    assert operator.device(device.name)["saga"]["caller"] == "digicert"
    device.is_shut_out()
    operator.done(device.name, "revoke", STOLEN)
    device.is_shut_out()
    assert device.on_the_books() == {"REVOKED"}


def test_digicert_may_be_down_when_a_device_appears(operator: Operator, site: Site) -> None:
    """The device is let in all the same, and the queue tries until it knows."""
    identity = born(site, "adopted-later")
    site.sandbox.fault("DigiCert ONE", "status", method="GET", path="/iot/api/v1/certificate/", times=2, status=503)
    device = in_its_hub(site, identity)
    assert device.let_in()
    adopted(operator, device)
    assert devices.connect(device.hub, site.sandbox.tls_root, identity)[0]
