"""The setup, end to end: from a DPS that knows nothing to a device in its hub, and once more without a write."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import device, ports
from sandbox.up import DEPLOYMENT
from tests.conftest import REPOSITORY
from tests.e2e.est import Site
from tests.setup.commanding import Command

PATH = {"PATH": os.environ["PATH"]}
STEPS = 4  # two links, the root, the group


def test_a_bare_dps_is_set_up_and_a_device_gets_into_its_hub(bare: Command) -> None:
    done = bare.run("--check-enrollment")
    assert (done.status, done.errors) == (0, "")
    assert len(done.marked("done")) == STEPS
    assert any("test device setup-check-" in line for line in done.marked("checked"))
    assert [one.partition("/certificates/")[2].partition("-")[0] for one in bare.writes()] == ["", "birthcert", ""]

    site, name = Site(bare.sandbox), "after-setup"
    url = f"{bare.sandbox.edge}/.well-known/est"
    born = device.enroll(url, bare.sandbox.tls_root, name, device.new_key(), identity=site.identity(name))
    assigned = device.register(ports.DPS_HOST, ports.DPS_ID_SCOPE, bare.sandbox.tls_root, born)
    assert assigned.status == "assigned", "DPS reached the webhook with the key that setup gave it"
    assert device.connect(assigned.hub, bare.sandbox.tls_root, born)[0]


@pytest.mark.usefixtures("bare")
def test_the_recipe_that_make_up_prints_works_when_pasted() -> None:
    lines = DEPLOYMENT.partition("\n\n")[2].replace(".venv/bin/python", sys.executable)
    done = subprocess.run(
        ["sh", "-ec", lines], cwd=REPOSITORY, env=PATH, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{STEPS} changes would be made" in done.stdout
    assert f"{STEPS} changes were made" in done.stdout


def test_a_second_run_finds_all_as_it_should_be_and_writes_nothing(bare: Command) -> None:
    assert bare.run().status == 0
    again = bare.run()
    assert (again.status, again.marked("done"), bare.writes()) == (0, [], [])
    assert again.marked("note") == ["nothing had to be changed"]
    assert {"hub hub-a (localhost:9445) is linked", "secret est-passcode is in Key Vault"} <= set(
        again.marked("already so")
    )


def test_what_a_deployment_has_set_up_by_other_means_is_left_as_it_is(deployed: Command) -> None:
    found = deployed.run("--plan")
    assert (found.status, found.marked("would"), deployed.writes()) == (0, [], [])


def test_a_plan_says_what_would_be_done_and_does_not_do_it(bare: Command) -> None:
    planned = bare.run("--plan")
    assert (planned.status, bare.writes()) == (0, [])
    assert planned.marked("note") == [f"{STEPS} changes would be made; nothing was changed"]
    done = bare.run()
    assert done.marked("done") == planned.marked("would")


@pytest.mark.parametrize("kind", ["drop", "lose_answer"])
@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("Resource Manager", "/provisioningServices/sandbox-dps"),
        ("Resource Manager", "/certificates/birthcert-root-"),
        ("DPS", "/enrollmentGroups/birthcert"),
    ],
)
def test_a_run_that_is_cut_off_at_any_write_is_finished_by_the_next(
    bare: Command, service: str, path: str, kind: str
) -> None:
    """Before the write is done, or after it, when its answer is lost."""
    bare.cut_off(service, kind, path)
    finished = bare.run()
    assert (finished.status, finished.errors) == (0, "")
    again = bare.run()
    assert (again.marked("done"), bare.writes()) == ([], [])


def test_azure_that_throttles_is_waited_for(bare: Command) -> None:
    bare.sandbox.fault("Resource Manager", "throttle", method="PUT", times=2)
    bare.sandbox.fault("DPS", "throttle", method="PUT", path="/enrollmentGroups")
    done = bare.run()
    assert (done.status, len(done.marked("done"))) == (0, STEPS)


def test_a_missing_role_is_told_by_its_name(bare: Command) -> None:
    bare.sandbox.fault("Resource Manager", "forbidden", method="PUT")
    refused = bare.run()
    assert refused.status == 1
    assert "the role Contributor on the resource group" in refused.errors
    body = '{"error":{"code":"Forbidden","message":"no","innererror":{"code":"ForbiddenByRbac"}}}'
    headers = {"Content-Type": "application/json"}
    bare.sandbox.fault("Key Vault", "status", path="/secrets/est-passcode", status=403, body=body, headers=headers)
    refused = bare.run()
    assert refused.status == 1
    assert "the role Key Vault Secrets Officer on the vault" in refused.errors
    bare.sandbox.fault("DPS", "status", path="/enrollmentGroups", status=401)
    refused = bare.run()
    assert refused.status == 1
    assert "the role Device Provisioning Service Data Contributor on the DPS" in refused.errors
    assert bare.run().status == 0


def test_digicert_one_that_refuses_is_told_with_what_to_check(bare: Command) -> None:
    bare.sandbox.fault("DigiCert ONE", "status", path="/certificate-authority/", status=403)
    refused = bare.run()
    assert refused.status == 1
    assert "setup cannot fetch the CA certificates of the profile rest" in refused.errors
    assert "VIEW_CM_CA" in refused.errors
    assert bare.run().status == 0


def test_a_test_device_with_a_wrong_password_or_a_factory_certificate(deployed: Command, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("device:canary-of-a-password\n")
    refused = deployed.run("--check-enrollment", str(wrong))
    assert refused.status == 1
    assert "got no certificate: 401" in refused.errors
    assert "compare it with the secret" in refused.errors
    assert "canary" not in refused.errors + "".join(refused.lines)
    certificate, key = deployed.sandbox.mint("factory-fresh", tmp_path)
    both = tmp_path / "both.pem"
    both.write_text(certificate.read_text() + key.read_text())
    good = deployed.run("--check-enrollment", str(both))
    assert good.status == 0, good.errors
    assert any("test device factory-fresh has its certificate" in line for line in good.marked("checked"))


def test_the_key_that_dps_holds_opens_the_webhook_alone(deployed: Command) -> None:
    site = Site(deployed.sandbox)
    key = ("x-functions-key", site.secret("allocation-key"))
    assert site.call("POST", "/api/allocation", b"{}", [key]).status == 400
    assert site.call("GET", "/api/sagas", headers=[key]).status == 401
    assert site.call("GET", "/api/sagas", headers=[("x-functions-key", site.secret("function-key"))]).status == 200
