"""A certificate is revoked at the CA, past Birthcert: its device is shut out at EST, at DPS and at its hub as well."""

import pytest

from sandbox import ports
from sandbox.profiles import ICA_ID
from tests.e2e.est import Site, eventually
from tests.e2e.living import Living, living
from tests.e2e.operators import Json, Operator
from tests.e2e.portal import Portal

CRL = f"/crl/{ICA_ID}.crl"
URL = f"https://{ports.DIGICERT_HOST}{CRL}"
LIST = "/iot/api/v1/certificate/"


def plan(site: Site, kind: str, path: str, status: int = 404) -> None:
    """For every label that reads it."""
    site.sandbox.fault("DigiCert ONE", kind, method="GET", path=path, times=1000, status=status)


def revoked_at_the_ca(device: Living, reason: str = "key_compromise") -> None:
    device.site.sandbox.control("POST", "/digicert/revoke", {"serial": device.serial, "reason": reason})


def sync(portal: Portal) -> list[Json]:
    """What the log says of one run of the timer, which tells everything at its end."""
    before = len(portal.log("revocation_sync"))
    portal.run_timer("revocation_sync")
    assert eventually(lambda: len(portal.log("revocation_sync")) > before)
    return portal.log("revocation_sync")[before:]


def blocked(operator: Operator, device: Living) -> str:
    state: str = operator.device(device.name)["block"]["state"]
    return state


def is_at_large(device: Living) -> None:
    """Neither DPS nor IoT Hub reads CRLs."""
    assert device.registers().status == "assigned"
    assert device.let_in()


def is_shut_out(operator: Operator, device: Living, state: str, caller: str) -> None:
    """The saga may still be on its way."""
    assert eventually(lambda: blocked(operator, device) == state)
    saga = operator.device(device.name)["saga"]
    assert saga["caller"] == caller
    assert eventually(lambda: all(step["done_at"] for step in operator.device(device.name)["saga"]["steps"]))
    device.is_shut_out()


def test_what_is_on_the_crl_is_shut_out_everywhere(operator: Operator, portal: Portal) -> None:
    device, bystander = living(operator, "on-the-crl", "est"), living(operator, "not-on-the-crl", "est")
    revoked_at_the_ca(device)
    is_at_large(device)
    sync(portal)
    is_shut_out(operator, device, "revoked", "crl")
    assert operator.device(device.name)["block"]["reason"] == "keyCompromise"
    assert blocked(operator, bystander) == "none"
    is_at_large(bystander)


@pytest.mark.parametrize("label", ["rest", "individual"])
def test_what_digicert_lists_as_revoked_is_shut_out_everywhere(
    operator: Operator, portal: Portal, site: Site, label: str
) -> None:
    device, bystander = living(operator, f"listed-{label}", label), living(operator, f"not-listed-{label}", label)
    plan(site, "status", CRL)
    revoked_at_the_ca(device)
    is_at_large(device)
    sync(portal)
    is_shut_out(operator, device, "hold", "digicert")  # the list tells no reason: it may be a hold at the CA
    assert blocked(operator, bystander) == "none"
    is_at_large(bystander)
    site.sandbox.control("DELETE", "/faults")
    sync(portal)
    is_shut_out(operator, device, "revoked", "crl")


def test_a_crl_that_should_have_been_replaced_raises_an_alert_and_counts(
    operator: Operator, portal: Portal, site: Site
) -> None:
    device, later = living(operator, "on-a-stale-crl", "est"), living(operator, "on-the-next-crl", "est")
    plan(site, "stale_crl", CRL)
    revoked_at_the_ca(device)
    told = sync(portal)
    alerts = [one for one in told if one["source"] == URL and "was to be replaced by" in one.get("alert", "")]
    assert alerts, told
    is_shut_out(operator, device, "revoked", "crl")
    site.sandbox.control("DELETE", "/faults")
    revoked_at_the_ca(later)
    assert not [one for one in sync(portal) if one["source"] == URL and "alert" in one]
    is_shut_out(operator, later, "revoked", "crl")


def test_a_crl_of_somebody_else_is_not_believed(operator: Operator, portal: Portal, site: Site) -> None:
    """It bears the CA's name and the highest number, and its signature is by another key."""
    device = living(operator, "on-a-forged-crl", "est")
    plan(site, "status", LIST)
    plan(site, "forged_crl", CRL)
    revoked_at_the_ca(device)
    told = sync(portal)
    assert [one for one in told if one["source"] == URL and "not signed by a CA of its label" in one.get("alert", "")]
    assert blocked(operator, device) == "none"
    is_at_large(device)
    site.sandbox.control("DELETE", "/faults")
    sync(portal)
    is_shut_out(operator, device, "revoked", "crl")


def test_a_hold_on_the_crl_is_a_hold_that_an_operator_may_undo(operator: Operator, portal: Portal) -> None:
    """On DigiCert ONE's list it looks like a revocation."""
    device = living(operator, "held-on-the-crl", "est")
    revoked_at_the_ca(device, "certificate_hold")
    sync(portal)
    is_shut_out(operator, device, "hold", "crl")
    operator.done(device.name, "restore")
    sync(portal)
    assert blocked(operator, device) == "none"
    is_at_large(device)
