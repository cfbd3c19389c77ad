"""The command line, with defaults from the environment that azd gives to its hooks. Secrets come from neither."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.settings import parse_hubs

DEFAULT_PROFILES: Final = Path(__file__).parents[2] / "profiles.toml"
FLAGS: Final = (
    ("--subscription", "ID", "AZURE_SUBSCRIPTION_ID", "the Azure subscription"),
    ("--resource-group", "NAME", "AZURE_RESOURCE_GROUP", "the resource group of the function app"),
    ("--dps", "NAME", "AZURE_DPS_NAME", "the Device Provisioning Service"),
    ("--function-app", "NAME", "AZURE_FUNCTION_APP_NAME", "the function app, already deployed"),
    ("--vault-url", "URL", "KEY_VAULT_URL", "https://NAME.vault.azure.net"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """`dps_group` is the resource group of the DPS. `host` is empty for the function app's own host name, `secrets` for
    none, `resource_manager` for Azure's own.

    `check_enrollment` is None without the flag, and empty where the passcode is to come from Key Vault.
    """

    subscription: str
    resource_group: str
    dps: str
    dps_group: str
    function_app: str
    vault_url: str
    hub_hosts: Mapping[str, str]
    host: str
    profiles: Path
    secrets: str
    plan: bool
    check_enrollment: str | None
    resource_manager: str


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Ends the process with status 2 and the usage where something is missing or wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    found: dict[str, str] = {}
    problems: list[str] = []
    for flag, _, variable, _ in FLAGS:
        name = flag.removeprefix("--").replace("-", "_")
        found[name] = str(getattr(given, name) or environment.get(variable, "")).strip()
        if not found[name]:
            problems.append(f"{flag} is missing, and {variable} is not set")
    if found["vault_url"] and not found["vault_url"].startswith("https://"):
        problems.append("--vault-url is no https:// address")
    hubs = parse_hubs(",".join(given.hub) or environment.get("IOT_HUBS", ""), problems)
    if problems:
        parser.error("; ".join(problems))
    found["vault_url"] = found["vault_url"].rstrip("/")
    elsewhere = given.dps_resource_group or environment.get("AZURE_DPS_RESOURCE_GROUP", "").strip()
    return Options(
        **found,
        dps_group=elsewhere or found["resource_group"],
        hub_hosts=hubs,
        host=given.host.removeprefix("https://").rstrip("/"),
        profiles=given.profiles or Path(environment.get("PROFILES_PATH") or DEFAULT_PROFILES),
        secrets=given.secrets,
        plan=given.plan,
        check_enrollment=given.check_enrollment,
        resource_manager=environment.get("AZURE_RESOURCE_MANAGER_URL", "").rstrip("/"),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.setup",
        allow_abbrev=False,
        description="Sets up DPS and Key Vault for Birthcert. Safe to repeat. Status 0: done, 1: refused, 2: usage.",
    )
    parser.add_argument("--plan", action="store_true", help="print what would be done, and change nothing")
    for flag, shape, variable, text in FLAGS:
        parser.add_argument(flag, metavar=shape, default="", help=f"{text} ({variable})")
    parser.add_argument(
        "--dps-resource-group", metavar="NAME", help="where the DPS is, if elsewhere (AZURE_DPS_RESOURCE_GROUP)"
    )
    parser.add_argument(
        "--hub", metavar="NAME=HOST", action="append", default=[], help="a hub of the profiles; repeatable (IOT_HUBS)"
    )
    parser.add_argument("--host", default="", help="where devices reach the app, if not at its own host name")
    parser.add_argument("--profiles", metavar="PATH", type=Path, help="profiles.toml (PROFILES_PATH)")
    parser.add_argument(
        "--secrets", metavar="FILE", default="", help="TOML of secrets for Key Vault by name; - for standard input"
    )
    parser.add_argument(
        "--check-enrollment",
        metavar="FILE",
        nargs="?",
        const="",
        help="enroll a test device with the default profile, which costs one certificate; FILE holds user:password, or "
        "a factory certificate and its key as PEM; without FILE the password is the one in Key Vault",
    )
    return parser
