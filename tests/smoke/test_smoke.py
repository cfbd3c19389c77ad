"""The command, end to end: deployments as they should be, with all that a test device leaves behind, and bad ones."""

import os
from pathlib import Path

import pytest

from sandbox import ports
from tests.e2e.est import Site
from tests.e2e.portal import Portal
from tests.smoke.commanding import Outcome, Smoke

PASSCODE = "user:canary-of-a-password"
# Nobody outside sees what DPS tells the app.
ALWAYS = {"certificate in the webhook": "CANNOT TELL"}
# The sandbox's hubs speak MQTT over WebSockets alone.
NO_MQTT = {"MQTT": "CANNOT TELL", "connection events": "CANNOT TELL"}


def device_of(done: Outcome) -> str:
    return str(done.rows["a new name"]["came"]).partition(" ")[0]


def quiet(smoke: Smoke, done: Outcome) -> bool:
    """No credential is in what was printed or written."""
    text = done.output + done.errors + (smoke.folder / "report.json").read_text()
    secrets: list[str] = smoke.sandbox.control("GET", "/secrets")
    return not [secret for secret in secrets if secret in text]


def test_a_deployment_as_it_should_be_holds_and_of_its_test_device_nothing_stays_open(smoke: Smoke) -> None:
    smoke.environment["BIRTHCERT_DIGICERT_API_KEY"] = smoke.secret("digicert-api-key")
    done = smoke.run("--websockets", "--bootstrap", smoke.sandbox.state / "passcode")
    assert (done.status, done.errors, done.not_ok) == (0, "", ALWAYS)
    assert done.output.endswith("what must hold holds\n")
    assert "400209" in done.rows["DPS asks the app"]["came"]
    assert quiet(smoke, done)

    name, site = device_of(done), Site(smoke.sandbox)
    assert [one["status"] for one in site.issued(name=name)] == ["REVOKED", "REVOKED"], "two certificates and no more"
    assert not [hub for hub in ports.HUBS.values() if Portal(site).identity(hub, name)]
    assert smoke.dps("GET", f"/enrollments/{name}")["provisioningStatus"] == "disabled"


def test_a_factory_certificate_names_the_device_and_a_label_gives_it_an_enrollment_of_its_own(smoke: Smoke) -> None:
    certificate, key = smoke.sandbox.mint(f"smoke-factory-{os.getpid()}", smoke.folder)
    both = certificate.read_text() + key.read_text()
    done = smoke.run("--label", "individual", "--bootstrap", "-", "--dps-service", "", stdin=both)
    assert (done.status, done.errors) == (0, "")
    assert done.not_ok == {**ALWAYS, **NO_MQTT, "DPS asks the app": "CANNOT TELL"}
    assert device_of(done) == f"smoke-factory-{os.getpid()}"
    assert quiet(smoke, done)

    again = smoke.run("--label", "individual", "--bootstrap", "-", stdin=both)
    assert again.status == 1
    assert "take another name" in again.rows["a new name"]["do"], "a device that has lived must not be revoked"
    assert "birth" not in again.rows


def test_without_a_device_nothing_is_issued_and_no_credential_needed(smoke: Smoke) -> None:
    del smoke.environment["BIRTHCERT_FUNCTION_KEY"]
    with Site(smoke.sandbox).nothing_issued():
        done = smoke.run("--no-enroll")
    assert (done.status, done.not_ok) == (0, {})
    assert "birth" not in done.rows


def test_an_app_that_is_to_be_had_without_tls_is_found(smoke: Smoke) -> None:
    done = smoke.run("--no-enroll", "--http-port", str(ports.FUNCTION_HOST))
    assert (done.status, done.not_ok) == (1, {"plain HTTP": "DIFFERS"})


def test_chunks_that_the_app_itself_says_are_lost_fail_nothing(smoke: Smoke) -> None:
    smoke.sandbox.control("PUT", "/edge", {"buffer_chunked": False})
    done = smoke.run("--no-enroll")
    assert (done.status, done.not_ok) == (0, {"chunked body": "DIFFERS"})
    assert "Content-Length" in done.rows["chunked body"]["do"]


def test_a_dps_that_nobody_has_set_up_is_found_and_the_device_taken_away(smoke: Smoke) -> None:
    smoke.sandbox.control("PUT", "/deployment", {"done": False})
    try:
        done = smoke.run("--bootstrap", smoke.sandbox.state / "passcode")
    finally:
        smoke.sandbox.control("PUT", "/deployment", {"done": True})
    assert done.status == 1
    assert done.rows["DPS registers it"]["verdict"] == "DIFFERS"
    assert "python -m infra.setup" in done.rows["DPS registers it"]["do"]
    assert done.rows["revocation"]["verdict"] == done.rows["taken away"]["verdict"] == "OK"


def test_a_group_that_does_not_ask_the_app_is_found(smoke: Smoke) -> None:
    group = smoke.dps("GET", f"/enrollmentGroups/{ports.DPS_GROUP}")
    smoke.dps("PUT", f"/enrollmentGroups/{ports.DPS_GROUP}", group | {"allocationPolicy": "hashed"})
    try:
        done = smoke.run("--bootstrap", smoke.sandbox.state / "passcode")
    finally:
        smoke.sandbox.control("PUT", "/deployment", {"done": False})
        smoke.sandbox.control("PUT", "/deployment", {"done": True})
    assert done.status == 1
    assert [name for name, row in done.rows.items() if row["must"] and row["verdict"] == "DIFFERS"] == [
        "DPS asks the app"
    ]


def test_a_system_in_which_the_app_may_not_revoke_is_named(smoke: Smoke) -> None:
    smoke.sandbox.fault("DigiCert ONE", "status", method="PUT", path="/revoke", status=403, times=1000)
    done = smoke.run("--bootstrap", smoke.sandbox.state / "passcode", "--no-dps", "--wait", "1")
    assert done.status == 1
    assert done.rows["revocation"]["verdict"] == "DIFFERS"
    assert "digicert: " in done.rows["revocation"]["came"]
    assert "sagas-stuck" in done.rows["revocation"]["do"]
    assert done.rows["refused by EST"]["verdict"] == "OK", "the ledger refuses it all the same"


def test_who_presses_ctrl_c_leaves_no_device_behind(smoke: Smoke) -> None:
    name = smoke.interrupted("renewal", "--bootstrap", smoke.sandbox.state / "passcode")
    site = Site(smoke.sandbox)
    assert {one["status"] for one in site.issued(name=name)} == {"REVOKED"}
    assert not [hub for hub in ports.HUBS.values() if Portal(site).identity(hub, name)]


def test_an_order_that_waits_for_approval_is_asked_for_again(smoke: Smoke) -> None:
    smoke.sandbox.fault("DigiCert ONE", "pending", path="/simpleenroll")
    done = smoke.run("--no-dps", "--bootstrap", smoke.sandbox.state / "passcode", "--wait", "2")
    assert done.rows["birth"]["verdict"] == "OK"
    assert (done.rows["issued at once"]["verdict"], done.rows["issued at once"]["must"]) == ("DIFFERS", False)
    assert "202" in done.rows["issued at once"]["came"]


@pytest.mark.parametrize(
    ("wrong", "row", "said"),
    [
        ({"BIRTHCERT_BOOTSTRAP": PASSCODE}, "birth", "compare it with the secret"),
        ({"BIRTHCERT_FUNCTION_KEY": "canary-of-a-key"}, "operators' key", "A host key is needed"),
        ({"BIRTHCERT_FUNCTION_KEY": "canary-of-a-key"}, "a new name", "has to be a host key"),
    ],
)
def test_a_wrong_credential_is_told_and_never_shown(smoke: Smoke, wrong: dict[str, str], row: str, said: str) -> None:
    smoke.environment |= {"BIRTHCERT_BOOTSTRAP": PASSCODE} | wrong
    done = smoke.run("--no-dps")
    assert done.status == 1
    assert said in done.rows[row]["do"]
    assert "canary" not in done.output + done.errors + Path(smoke.folder / "report.json").read_text()
