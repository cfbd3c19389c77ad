"""What the ledger says of a device counts more than the credentials it shows: blocked, revoked, over its limit.

An operator's commands write such marks; here they are written into the table itself, through the real SDK.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from azure.core.credentials import AccessToken
from azure.data.tables import TableClient, UpdateMode

from sandbox import device, ports
from sandbox.device import Identity
from tests.e2e.est import PKCS10, Newborn, Site, leaf, ordinary, refused

TABLES = f"https://127.0.0.1:{ports.AZURITE_TABLE}/devstoreaccount1"


class Token:
    """A token of the sandbox's Entra ID for storage, as the app's managed identity gets it."""

    def __init__(self, site: Site) -> None:
        settings = dict(line.split("=", 1) for line in (site.sandbox.state / "env").read_text().splitlines())
        url = f"{settings['IDENTITY_ENDPOINT']}?api-version=2019-08-01&resource=https://storage.azure.com"
        answer = device.call(site.tls(), "GET", url, headers={"X-IDENTITY-HEADER": settings["IDENTITY_HEADER"]})
        content = answer.json()
        self.token = AccessToken(content["access_token"], int(content["expires_on"]))

    def get_token(self, *_scopes: str, **_options: object) -> AccessToken:
        return self.token


@contextmanager
def fleet(site: Site) -> Iterator[TableClient]:
    root = str(site.sandbox.tls_root)
    with TableClient(TABLES, "fleet", credential=Token(site), connection_verify=root) as client:
        yield client


def mark(site: Site, name: str, row: str = "device", **values: object) -> None:
    """Change some columns of a row of the device."""
    with fleet(site) as table:
        table.update_entity({"PartitionKey": name, "RowKey": row, **values}, UpdateMode.MERGE)


def born(site: Site, name: str) -> tuple[Newborn, Identity]:
    newborn = site.newborn(name)
    return newborn, Identity(newborn.key, (leaf(newborn.ask()),))


@pytest.mark.parametrize("block", ["hold", "revoked"])
def test_a_blocked_device_gets_nothing_by_any_credentials(site: Site, block: str) -> None:
    name = f"blocked-{block}"
    newborn, identity = born(site, name)
    mark(site, name, Block=block)
    new = ordinary(name, device.new_key("ec-p256"))
    with site.nothing_issued():
        refused(newborn.ask(), 403, "the device is blocked")  # not even the certificate that it has
        refused(site.enroll(newborn.factory, new), 403, "the device is blocked")
        refused(site.enroll(None, new, headers=(PKCS10, site.passcode())), 403, "the device is blocked")
        for operation in ("simpleenroll", "simplereenroll"):
            refused(site.enroll(identity, new, operation=operation), 403, "the device is blocked")
    if block == "hold":
        mark(site, name, Block="")
        leaf(site.enroll(identity, new))


def test_a_blocked_device_is_refused_by_the_allocation_of_dps(site: Site) -> None:
    _, identity = born(site, "blocked-at-dps")
    arguments = (ports.DPS_HOST, ports.DPS_ID_SCOPE, site.sandbox.tls_root, identity)
    mark(site, "blocked-at-dps", Block="hold")
    registration = device.register(*arguments)
    assert registration.status == "failed"
    assert "403" in registration.reason
    mark(site, "blocked-at-dps", Block="")
    assert device.register(*arguments).status == "assigned"


def test_a_revoked_certificate_cannot_renew_and_is_not_handed_out_again(site: Site) -> None:
    newborn, identity = born(site, "revoked")
    mark(site, "revoked", f"cert-{identity.leaf.serial_number:x}", Status="revoked")
    new = ordinary("revoked", device.new_key("ec-p256"))
    with site.nothing_issued():
        for operation in ("simpleenroll", "simplereenroll"):
            refused(site.enroll(identity, new, operation=operation), 403, "has been revoked")
    assert leaf(newborn.ask()).serial_number != identity.leaf.serial_number


def test_a_device_over_its_limit_is_told_when_the_day_is_over(site: Site) -> None:
    newborn, identity = born(site, "greedy")
    mark(site, "greedy", IssuedCount=1000)
    new = ordinary("greedy", device.new_key("ec-p256"))
    with site.nothing_issued():
        for asking in (newborn.factory, identity):
            answer = site.enroll(asking, new)
            refused(answer, 429, "limit of 1000 certificates a day")
            assert int(answer.header("Retry-After")) >= 60
        leaf(newborn.ask())  # what it has been given before, it may have again


def test_a_name_that_differs_in_case_alone_is_the_same_device_to_dps_and_is_refused(site: Site) -> None:
    born(site, "case-device")
    with site.nothing_issued():
        refused(site.newborn("Case-Device").ask(), 403, "differs only in upper and lower case")


def test_the_ledger_holds_the_certificate_and_no_secret(site: Site) -> None:
    _, identity = born(site, "kept")
    with fleet(site) as table:
        rows = {row["RowKey"]: dict(row) for row in table.query_entities("PartitionKey eq 'kept'")}
    assert set(rows) >= {"device", f"cert-{identity.leaf.serial_number:x}"}
    assert rows["device"]["Latest"] == f"{identity.leaf.serial_number:x}"
    text = json.dumps(rows, default=str)
    secrets: list[str] = site.sandbox.control("GET", "/secrets")
    assert not [secret for secret in secrets if secret in text]
