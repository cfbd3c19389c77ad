"""The command line, with defaults from the environment that azd gives. Credentials are named here, and never given."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.setup.arguments import DEFAULT_PROFILES
from infra.smoke.wire import Address, address
from shared.core.est import is_label

GLOBAL_DPS: Final = "global.azure-devices-provisioning.net"
HEADER: Final = "X-ARR-ClientCert"
# Event Grid tells of connections once a minute, and freshly started instances take their time.
PATIENCE: Final = 150.0


@dataclass(frozen=True, slots=True)
class Options:
    """`function_key`, `bootstrap` and `digicert_key` say where these are read from: a file, `-`, or nothing.

    `id_scope` is empty with `--no-dps`, `dps_service` where nobody may take entries out of DPS.
    """

    server: Address
    http_port: int
    label: str
    header: str
    enroll: bool
    function_key: str
    bootstrap: str
    device: str
    id_scope: str
    dps_endpoint: Address
    dps_service: str
    websockets: bool
    digicert_key: str
    profiles: Path
    wait: float
    report: Path | None


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Ends the process with status 2 and the usage where something is missing or wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    host = given.host or environment.get("AZURE_FUNCTION_APP_URL", "")
    id_scope = given.id_scope or environment.get("DPS_ID_SCOPE", "").strip()
    registers = given.enroll and given.dps
    problems = []
    if not host:
        problems.append("--host is missing, and AZURE_FUNCTION_APP_URL is not set")
    if registers and not id_scope:
        problems.append("--id-scope is missing, and DPS_ID_SCOPE is not set; --no-dps leaves DPS out")
    if given.label and not is_label(given.label):
        problems.append(f"{given.label!r} cannot be a label")
    if given.ca and not Path(given.ca).is_file():
        problems.append(f"--ca: there is no file {given.ca}")
    if [given.function_key, given.bootstrap, given.digicert_key].count("-") > 1:
        problems.append("standard input holds one credential")
    if given.json is not None and not given.json.absolute().parent.is_dir():
        problems.append(f"--json: there is no folder {given.json.parent}")
    if given.wait < 1:
        problems.append("--wait takes 1 second or more")
    try:
        server, endpoint = address(host or "-", given.ca), address(given.dps_endpoint, given.ca)
    except ValueError as error:
        parser.error("; ".join([*problems, str(error)]))
    if problems:
        parser.error("; ".join(problems))
    return Options(
        server=server,
        http_port=given.http_port,
        label=given.label,
        header=given.header or environment.get("BIRTHCERT_CLIENT_CERTIFICATE_HEADER", "").strip() or HEADER,
        enroll=given.enroll,
        function_key=given.function_key,
        bootstrap=given.bootstrap,
        device=given.device,
        id_scope=id_scope if registers else "",
        dps_endpoint=endpoint,
        dps_service=environment.get("DPS_HOST", "").strip() if given.dps_service is None else given.dps_service,
        websockets=given.websockets,
        digicert_key=given.digicert_key,
        profiles=given.profiles or Path(environment.get("PROFILES_PATH") or DEFAULT_PROFILES),
        wait=given.wait,
        report=given.json,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.smoke",
        allow_abbrev=False,
        description="Tries a deployment of Birthcert from outside, as devices, DPS and Event Grid use it, with a test "
        "device that it revokes at the end. Status 0: what must hold holds, 1: it does not, 2: usage.",
    )
    parser.add_argument(
        "--host", default="", help="HOST[:PORT] at which devices reach the app (AZURE_FUNCTION_APP_URL)"
    )
    parser.add_argument("--http-port", type=int, default=80, metavar="PORT", help="where HTTP without TLS would be: 80")
    parser.add_argument("--label", default="", help="the label to enroll under; the default one without it")
    parser.add_argument("--ca", default="", metavar="FILE", help="a root of TLS to trust beside the system's, as PEM")
    parser.add_argument(
        "--header",
        default="",
        metavar="NAME",
        help=f"the client certificate header: {HEADER}, unless the app's "
        "setting differs (BIRTHCERT_CLIENT_CERTIFICATE_HEADER)",
    )
    parser.add_argument("--wait", type=float, default=PATIENCE, metavar="SECONDS", help="patience with each event")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there, too")
    _add_device(parser.add_argument_group("test device"))
    _add_digicert(parser.add_argument_group("DigiCert ONE, asked directly"))
    return parser


def _add_device(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--no-enroll", dest="enroll", action="store_false", help="no test device: costs nothing")
    group.add_argument("--no-dps", dest="dps", action="store_false", help="the test device does not register with DPS")
    group.add_argument(
        "--function-key",
        default="",
        metavar="FILE",
        help="a host key of the app; - for standard input; BIRTHCERT_FUNCTION_KEY without it",
    )
    group.add_argument(
        "--bootstrap",
        default="",
        metavar="FILE",
        help="user:password, or a factory certificate and its key as PEM; - "
        "for standard input; BIRTHCERT_BOOTSTRAP without it",
    )
    group.add_argument("--device", default="", metavar="ID", help="its name: made up, or the factory certificate's CN")
    group.add_argument("--id-scope", default="", metavar="ID", help="ID scope of the DPS (DPS_ID_SCOPE)")
    group.add_argument(
        "--dps-endpoint", default=GLOBAL_DPS, metavar="HOST", help=f"where devices register: {GLOBAL_DPS}"
    )
    group.add_argument(
        "--dps-service",
        metavar="HOST",
        help="service host of the DPS, where who is signed in to Azure proves that it "
        'asks the app (DPS_HOST); "" leaves that out',
    )
    group.add_argument("--websockets", action="store_true", help="MQTT over 443, where a firewall stops 8883")


def _add_digicert(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--digicert-key",
        default="",
        metavar="FILE",
        help="an API key; - for standard input; BIRTHCERT_DIGICERT_API_KEY without it; not asked without either",
    )
    group.add_argument("--profiles", metavar="PATH", type=Path, help="profiles.toml, for its addresses (PROFILES_PATH)")
