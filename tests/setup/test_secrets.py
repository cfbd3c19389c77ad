"""Secrets on their way into Key Vault: by file or standard input, once, and nowhere else to be seen."""

import secrets
from pathlib import Path

import pytest

from tests.e2e.est import Site
from tests.setup.commanding import Command

NAMES = ("digicert-est-passcode", "digicert-api-key", "est-passcode")


@pytest.fixture
def own(deployed: Command) -> dict[str, str]:
    """Profiles whose secrets have names that Key Vault has never heard of; the values, by these names."""
    site, suffix = Site(deployed.sandbox), secrets.token_hex(4)
    text = (deployed.sandbox.state / "profiles.toml").read_text()
    for name in NAMES:
        text = text.replace(f'"{name}"', f'"{name}-{suffix}"')
    path = deployed.sandbox.state / f"profiles-{suffix}.toml"  # beside the factory's anchor
    path.write_text(text)
    deployed.environment["PROFILES_PATH"] = str(path)
    values = {
        "digicert-est-passcode": f"birthcert:{site.secret('digicert-passcode')}",
        "digicert-api-key": site.secret("digicert-api-key"),
        "est-passcode": f"device:{secrets.token_urlsafe(24)}",
    }
    return {f"{name}-{suffix}": value for name, value in values.items()}


def toml(values: dict[str, str]) -> str:
    return "".join(f'{name} = "{value}"\n' for name, value in values.items())


def test_secrets_are_put_into_key_vault_once_and_never_shown(deployed: Command, own: dict[str, str]) -> None:
    refused = deployed.run()
    assert refused.status == 1
    for name in own:
        assert name in refused.errors
    assert "--secrets FILE" in refused.errors

    planned = deployed.run("--plan", "--secrets", "-", stdin=toml(own))
    assert planned.status == 0, planned.errors  # the CAs were fetched with secrets that are not in Key Vault yet
    assert (len(planned.marked("would")), deployed.writes()) == (3, [])

    done = deployed.run("--secrets", "-", stdin=toml(own))
    assert done.status == 0, done.errors
    assert [one for one in done.marked("done") if one.startswith("put the secret")] == done.marked("done")
    assert len(deployed.writes()) == 3

    again = deployed.run("--secrets", "-", stdin=toml(own))
    assert (again.marked("done"), deployed.writes()) == ([], [])
    assert deployed.run().marked("done") == []
    shown = "".join((*planned.lines, *done.lines, *again.lines, refused.errors, done.errors))
    assert not any(value in shown for value in own.values())


def test_a_secret_that_changed_becomes_a_new_version_and_the_others_stay(
    deployed: Command, own: dict[str, str], tmp_path: Path
) -> None:
    assert deployed.run("--secrets", "-", stdin=toml(own)).status == 0
    name = next(one for one in own if one.startswith("est-passcode"))
    file = tmp_path / "secrets.toml"
    file.write_text(toml(own | {name: "device:another"}))
    done = deployed.run("--secrets", str(file))
    assert done.marked("done") == [f"put a new version of the secret {name} into Key Vault"]
    assert deployed.writes() == [f"Key Vault /secrets/{name}"]


@pytest.mark.parametrize("kind", ["drop", "lose_answer"])
def test_a_run_that_is_cut_off_among_the_secrets_is_finished_by_the_next(
    deployed: Command, own: dict[str, str], kind: str
) -> None:
    deployed.cut_off("Key Vault", kind, "/secrets/est-passcode", "--secrets", "-", stdin=toml(own))
    finished = deployed.run("--secrets", "-", stdin=toml(own))
    assert finished.status == 0, finished.errors
    assert deployed.run("--secrets", "-", stdin=toml(own)).marked("done") == []


def test_a_value_that_cannot_be_right_is_refused_before_anything_is_written(
    deployed: Command, own: dict[str, str]
) -> None:
    name = next(one for one in own if one.startswith("est-passcode"))
    refused = deployed.run("--secrets", "-", stdin=toml(own | {name: "no-colon"}))
    assert (refused.status, deployed.writes()) == (1, [])
    assert f"the value of {name} is not user:passcode" in refused.errors
    stranger = deployed.run("--secrets", "-", stdin=toml({"est-pascode": "device:x"}))
    assert (stranger.status, deployed.writes()) == (1, [])
    assert "no profile names a secret 'est-pascode'" in stranger.errors
