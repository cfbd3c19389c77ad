"""A secret has a new version in Key Vault: it counts within seconds, though it is kept in memory for minutes."""

from sandbox import device
from tests.e2e.est import PKCS10, Site, eventually, leaf, ordinary, refused


def test_a_new_passcode_counts_at_once_and_the_old_one_no_more(site: Site) -> None:
    name, key = "rotated-passcode", device.new_key("ec-p256")
    body, old = ordinary(name, key), (PKCS10, site.passcode())
    first = leaf(site.enroll(None, body, headers=old))
    changed = f"{site.sandbox.passcode}-and-more"
    new = (PKCS10, site.passcode(changed))
    refused(site.enroll(None, body, headers=new), 401)
    try:
        site.sandbox.control("PUT", "/key-vault/est-passcode", {"value": changed})
        assert eventually(lambda: site.enroll(None, body, headers=new).status == 200)
        assert leaf(site.enroll(None, body, headers=new)) == first
        refused(site.enroll(None, body, headers=old), 401)
    finally:
        site.sandbox.control("PUT", "/key-vault/est-passcode", {"value": site.sandbox.passcode})
    assert eventually(lambda: site.enroll(None, body, headers=old).status == 200)
