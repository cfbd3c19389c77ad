"""Key Vault and DPS are down: what is known already goes on, and what cannot be done now is done soon after."""

import json
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sandbox import device, ports
from sandbox.device import Identity
from tests.e2e.est import PKCS10, Newborn, Site, eventually, leaf, ordinary, refused


def test_without_key_vault_devices_go_on_with_what_was_read_before(site: Site) -> None:
    before = site.newborn("vault-before", "rest")
    before.has(before.ask())
    known = device.new_key("ec-p256")
    leaf(site.enroll(None, ordinary("vault-before-too", known), headers=(PKCS10, site.passcode())))
    site.sandbox.fault("Key Vault", "status", times=1000, status=503)
    key = device.new_key("ec-p256")
    leaf(site.enroll(None, ordinary("vault-down", key), headers=(PKCS10, site.passcode())))
    newborn = site.newborn("vault-down-too", "rest")
    newborn.has(newborn.ask())


def test_a_refused_credential_without_key_vault_is_a_wait(site: Site) -> None:
    newborn = site.newborn("vault-needed", "est")
    newborn.has(newborn.ask())
    newborn = site.newborn("vault-needed-now", "est")
    site.sandbox.fault("Key Vault", "status", times=1000, status=503)
    site.sandbox.fault("DigiCert ONE", "status", method="POST", path="/simpleenroll", status=401)
    refused(newborn.ask(), 503, "does not answer")
    assert newborn.on_the_books() == []
    site.sandbox.control("DELETE", "/faults")
    newborn.has(newborn.ask())


def connects(newborn: Newborn, chain: bytes, folder: Path) -> dict[str, str]:
    """What `connect` says of the certificate that was issued, as a person would try it."""
    (folder / "device.pem").write_bytes(chain)
    key = newborn.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "device.key").write_bytes(key)
    done = newborn.site.sandbox.run("connect", "--cert", folder / "device.pem", "--key", folder / "device.key")
    told: dict[str, str] = json.loads(done.stdout)
    assert (done.returncode == 0) == (told["hub"] == "connected")
    return told


def test_without_dps_the_certificate_is_delivered_and_the_enrollment_follows(site: Site, tmp_path: Path) -> None:
    newborn = site.newborn("dps-down", "individual")
    site.sandbox.fault("DPS", "status", path="/enrollments/dps-down", status=503, headers={"Retry-After": "30"})
    mark = site.sandbox.mark()
    certificate = newborn.has(newborn.ask())
    (first, *_) = asked_of_dps(site, mark, "dps-down")
    assert first["status"] == 503

    def written() -> bool:
        return ("PUT", 200) in {(one["method"], one["status"]) for one in asked_of_dps(site, mark, "dps-down")}

    assert eventually(written, 40), "the settle queue has not written the enrollment"
    told = eventually(lambda: connects(newborn, certificate.public_bytes(Encoding.PEM), tmp_path))
    assert (told["dps"], told["hub"]) == ("assigned", "connected"), told


def test_a_moment_without_dps_is_not_noticed(site: Site, tmp_path: Path) -> None:
    newborn = site.newborn("dps-hiccup", "individual")
    site.sandbox.fault("DPS", "drop", path="/enrollments/dps-hiccup")
    began = time.monotonic()
    certificate = newborn.has(newborn.ask())
    assert time.monotonic() - began < 10
    told = connects(newborn, certificate.public_bytes(Encoding.PEM), tmp_path)
    assert (told["dps"], told["hub"]) == ("assigned", "connected"), told


def asked_of_dps(site: Site, mark: int, name: str) -> list[dict[str, Any]]:
    """What the app has asked of the device's enrollment since then."""
    return [entry for entry in site.sandbox.journal(mark) if entry.get("path") == f"/enrollments/{name}"]


def test_a_renewal_without_dps_leaves_the_certificate_in_use_where_it_stands(site: Site) -> None:
    """An enrollment has two places. The settle queue may only overwrite the one that the device has left behind."""
    name = "dps-down-renewal"
    host, scope, root = ports.DPS_HOST, ports.DPS_ID_SCOPE, site.sandbox.tls_root
    newborn = site.newborn(name, "individual")
    held = Identity(newborn.key, (newborn.has(newborn.ask()),))
    assert device.register(host, scope, root, held).status == "assigned"
    for generation in range(2):
        key = device.new_key("ec-p256")
        mark = site.sandbox.mark()
        if generation:
            site.sandbox.fault("DPS", "status", path=f"/enrollments/{name}", status=503, headers={"Retry-After": "30"})
        renewed = Identity(key, (leaf(site.enroll(held, ordinary(name, key), "individual")),))
        assert eventually(
            lambda mark=mark: (  # type: ignore[misc]
                ("PUT", 200) in {(one["method"], one["status"]) for one in asked_of_dps(site, mark, name)}
            ),
            40,
        )
        assert device.register(host, scope, root, held).status == "assigned", f"generation {generation}"
        assert device.register(host, scope, root, renewed).status == "assigned"
        held = renewed
