"""The app settings: what joins the app to its Azure resources. Read at first use, never at import.

`python -m shared.settings` reads settings and profiles as the app would, and prints every problem with its remedy.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.core.errors import Misconfigured

NOT_SET_UP = "the service is not set up correctly"


@dataclass(frozen=True, slots=True)
class Settings:
    """One app setting each; the comment names it. URLs have no trailing slash."""

    profiles_path: Path  # PROFILES_PATH, default profiles.toml beside function_app.py
    key_vault_url: str  # KEY_VAULT_URL
    table_uri: str  # STORAGE__tableServiceUri
    queue_uri: str  # STORAGE__queueServiceUri
    blob_uri: str  # STORAGE__blobServiceUri
    dps_host: str  # DPS_HOST
    hub_hosts: Mapping[str, str]  # IOT_HUBS: name=host,name=host
    client_certificate_header: str  # CLIENT_CERTIFICATE_HEADER, empty: no client certificate is trusted
    front_end_secret_name: str  # FRONT_END_SECRET_NAME, empty: nothing but the platform's front end reaches the app
    event_topic_url: str  # EVENT_TOPIC_URL: the endpoint of the topic that lifecycle events go to
    nudges_per_minute: int  # NUDGES_PER_MINUTE, default 20: a renewal takes about 4 of the 100 a minute of an S1 unit
    batch_rows_per_minute: int  # BATCH_ROWS_PER_MINUTE, default 120: what all batches together ask of DigiCert ONE
    batch_megabytes: int  # BATCH_MEGABYTES, default 1024: the size that a batch's file may have
    platform_authenticates: bool  # PLATFORM_AUTHENTICATES=true: App Service signs operators in
    client_id: str  # AZURE_CLIENT_ID, empty: the system-assigned identity

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises Misconfigured, whose cause lists every problem, a line each."""
        problems: list[str] = []

        def url(name: str) -> str:
            value = environment.get(name, "").strip().rstrip("/")
            if not value.startswith("https://"):
                problems.append(f"{name}: must be set to an https:// address")
            return value

        settings = cls(
            profiles_path=Path(environment.get("PROFILES_PATH") or Path(__file__).parent.parent / "profiles.toml"),
            key_vault_url=url("KEY_VAULT_URL"),
            table_uri=url("STORAGE__tableServiceUri"),
            queue_uri=url("STORAGE__queueServiceUri"),
            blob_uri=url("STORAGE__blobServiceUri"),
            dps_host=environment.get("DPS_HOST", "").strip(),
            hub_hosts=parse_hubs(environment.get("IOT_HUBS", ""), problems),
            client_certificate_header=environment.get("CLIENT_CERTIFICATE_HEADER", "").strip(),
            front_end_secret_name=environment.get("FRONT_END_SECRET_NAME", "").strip(),
            event_topic_url=url("EVENT_TOPIC_URL"),
            nudges_per_minute=_number(environment, "NUDGES_PER_MINUTE", 20, problems),
            batch_rows_per_minute=_number(environment, "BATCH_ROWS_PER_MINUTE", 120, problems),
            batch_megabytes=_number(environment, "BATCH_MEGABYTES", 1024, problems),
            platform_authenticates=environment.get("PLATFORM_AUTHENTICATES", "").strip().lower() == "true",
            client_id=environment.get("AZURE_CLIENT_ID", "").strip(),
        )
        if not settings.dps_host or "/" in settings.dps_host:
            problems.append("DPS_HOST: must be set to the service host name of the DPS, without https://")
        if settings.front_end_secret_name and not settings.client_certificate_header:
            problems.append("FRONT_END_SECRET_NAME: has no use without CLIENT_CERTIFICATE_HEADER")
        if problems:
            raise Misconfigured(NOT_SET_UP, cause="\n".join(problems))
        return settings


@dataclass(frozen=True, slots=True)
class Monitoring:
    """Where telemetry goes: settings that the Functions host reads too, in the form that it prescribes.

    learn.microsoft.com/azure/azure-functions/functions-app-settings. They are no condition: nothing here raises.
    """

    connection_string: str  # APPLICATIONINSIGHTS_CONNECTION_STRING, empty: telemetry stays in the process
    by_identity: bool  # APPLICATIONINSIGHTS_AUTHENTICATION_STRING: Authorization=AAD, with or without ClientId=…
    client_id: str  # its ClientId, empty: the system-assigned identity

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Monitoring":
        said = environment.get("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "")
        pairs = (part.partition("=") for part in said.split(";"))
        authentication = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return cls(
            connection_string=environment.get("APPLICATIONINSIGHTS_CONNECTION_STRING", "").strip(),
            by_identity=authentication.get("authorization", "").upper() == "AAD",
            client_id=authentication.get("clientid", ""),
        )


def _number(environment: Mapping[str, str], name: str, otherwise: int, problems: list[str]) -> int:
    value = environment.get(name, "").strip() or str(otherwise)
    if not re.fullmatch(r"[1-9][0-9]{0,5}", value):
        problems.append(f"{name}: must be a whole number from 1 to 999999")
        return otherwise
    return int(value)


def parse_hubs(text: str, problems: list[str]) -> dict[str, str]:
    """`name=host,name=host`, as the app setting IOT_HUBS has it."""
    hubs = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, separator, host = part.partition("=")
        if not separator or not name.strip() or not host.strip() or "/" in host:
            problems.append(f"IOT_HUBS: {part!r} is not name=host")
        hubs[name.strip()] = host.strip()
    if not hubs:
        problems.append("IOT_HUBS: must name at least one hub as name=host, separated by commas")
    return hubs


def main() -> int:
    """Print the problems of this environment's settings and of their profiles; 0 when there are none."""
    from os import environ  # noqa: TID251 - this command is a composition root of its own, as wiring is the app's

    from shared.profiles import load

    try:
        settings = Settings.from_environment(environ)
        profiles = load(settings.profiles_path, settings.hub_hosts)
    except Misconfigured as error:
        print(error.cause, file=sys.stderr)
        return 1
    print(f"the settings are in order, and so are the profiles {', '.join(sorted(profiles.by_label))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
