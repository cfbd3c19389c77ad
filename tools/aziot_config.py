"""`python -m tools.aziot_config`: the configuration of Azure's own client, for a device that enrolls with Birthcert.

Prints `/etc/aziot/config.toml` of iot-identity-service and IoT Edge: certificates by EST, renewed by the client itself,
and DPS with X.509. Its keys are those of `super_config.rs` in github.com/Azure/iot-identity-service, release 1.6.0.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

GLOBAL_ENDPOINT: Final = "https://global.azure-devices-provisioning.net/"
# The client's own defaults, written down: with `auto_renew` missing it would not renew the device's certificate.
RENEWAL: Final = {"rotate_key": "true", "threshold": '"80%"', "retry": '"4%"'}
RENEW_TABLES: Final = ("provisioning.attestation.identity_cert.auto_renew", "cert_issuance.est.identity_auto_renew")

# DPS: letters, digits and : . _ -, the last one a letter, a digit or a dash; a common name has 64 characters.
_REGISTRATION_ID: Final = re.compile(r"[A-Za-z0-9:._-]{0,63}[A-Za-z0-9-]")
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(:[0-9]{1,5})?")
_ID_SCOPE: Final = re.compile(r"[A-Za-z0-9]{1,32}")
_ENDPOINT: Final = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?")
_PKCS11: Final = re.compile(r"pkcs11:[!-~]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

HEAD: Final = """\
# For /etc/aziot/config.toml; then `sudo aziotctl config apply`, with IoT Edge `sudo iotedge config apply`.
"""


class ArgumentError(Exception):
    """What is wrong with an argument, as one line for a person."""


@dataclass(frozen=True)
class Bootstrap:
    """A certificate of the factory, or one that was issued before, as URIs of files on the device.

    The key may also be in a hardware module: `pkcs11:…`.
    """

    certificate: str
    key: str


@dataclass(frozen=True)
class Passcode:
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Wanted:
    """`trusted` are URIs of TLS roots beside those that the device's system trusts."""

    url: str
    registration_id: str
    id_scope: str
    credential: Bootstrap | Passcode
    trusted: tuple[str, ...] = ()
    global_endpoint: str = GLOBAL_ENDPOINT


def config(wanted: Wanted) -> str:
    """The file's text. Tables come in the order in which the project's own template has them."""
    quoted_id = _quoted(wanted.registration_id)
    provisioning = {
        "source": '"dps"',
        "global_endpoint": _quoted(wanted.global_endpoint),
        "id_scope": _quoted(wanted.id_scope),
    }
    # aziotctl forgets the registration id of a certificate that has no subject here (config/apply.rs).
    identity = {"method": '"est"', "common_name": quoted_id, "url": _quoted(wanted.url), **_auth(wanted.credential)}
    tables = {
        "provisioning": provisioning,
        "provisioning.attestation": {"method": '"x509"', "registration_id": quoted_id},
        "provisioning.attestation.identity_cert": identity,
        RENEW_TABLES[0]: RENEWAL,
    }
    if wanted.trusted:
        tables["cert_issuance.est"] = {"trusted_certs": f"[{', '.join(map(_quoted, wanted.trusted))}]"}
    if isinstance(wanted.credential, Bootstrap):  # a passcode leads to no EST identity
        tables[RENEW_TABLES[1]] = RENEWAL
    return HEAD + "".join(_table(name, keys) for name, keys in tables.items())


def _auth(credential: Bootstrap | Passcode) -> dict[str, str]:
    match credential:
        case Bootstrap(certificate=certificate, key=key):
            return {"bootstrap_identity_cert": _quoted(certificate), "bootstrap_identity_pk": _quoted(key)}
        case Passcode(user=user, password=password):
            return {"username": _quoted(user), "password": _quoted(password)}


def _table(name: str, keys: dict[str, str]) -> str:
    return f"\n[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def _quoted(text: str) -> str:
    """A TOML basic string: toml.io/en/v1.0.0#string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped)}"'


def est_url(host: str, label: str) -> str:
    """The client appends `/simpleenroll` and `/cacerts` to it. Raises ArgumentError."""
    if not _HOST.fullmatch(host):
        raise ArgumentError(f"--host: {host!r} must be a host name, with a port where it is not 443")
    if label and not _LABEL.fullmatch(label):
        raise ArgumentError(f"--label: {label!r} is no label of an EST path")
    return f"https://{host}/.well-known/est" + (f"/{label}" if label else "")


def file_uri(option: str, path: str) -> str:
    """The client's services run in folders of their own, so a path must be absolute. Raises ArgumentError."""
    if not PurePosixPath(path).is_absolute() or _CONTROL.search(path):
        raise ArgumentError(f"{option}: {path!r} must be an absolute path on the device")
    return PurePosixPath(path).as_uri()


def key_uri(option: str, place: str) -> str:
    """RFC 7512 for a key in a hardware module. Raises ArgumentError."""
    return place if _PKCS11.fullmatch(place) else file_uri(option, place)


def read_passcode(path: Path) -> Passcode:
    """`user:password` on one line; RFC 7617 allows no control character. Raises ArgumentError."""
    try:
        text = path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError) as error:
        raise ArgumentError(f"--passcode-file: {error}") from error
    user, colon, password = text.partition(":")
    if not colon or not password or _CONTROL.search(text):
        raise ArgumentError("--passcode-file: must hold user:password on one line")
    return Passcode(user, password)


def wanted(arguments: argparse.Namespace) -> Wanted:
    """Raises ArgumentError."""
    if not _REGISTRATION_ID.fullmatch(arguments.registration_id):
        raise ArgumentError(
            "--registration-id: must be 1 to 64 characters of letters, digits and : . _ -, and end with a letter, "
            "a digit or -"
        )
    if not _ID_SCOPE.fullmatch(arguments.id_scope):
        raise ArgumentError(f"--id-scope: {arguments.id_scope!r} is no id scope of a DPS, such as 0ne00AB12CD")
    if not _ENDPOINT.fullmatch(arguments.global_endpoint):
        raise ArgumentError(f"--global-endpoint: {arguments.global_endpoint!r} must be https://HOST")
    return Wanted(
        url=est_url(arguments.host, arguments.label),
        registration_id=arguments.registration_id,
        id_scope=arguments.id_scope,
        credential=_credential(arguments),
        trusted=tuple(file_uri("--trusted-ca", one) for one in arguments.trusted_ca),
        global_endpoint=arguments.global_endpoint,
    )


def _credential(arguments: argparse.Namespace) -> Bootstrap | Passcode:
    certificate, key, passcode = arguments.bootstrap_certificate, arguments.bootstrap_key, arguments.passcode_file
    if passcode is not None and certificate is None and key is None:
        return read_passcode(passcode)
    if passcode is None and certificate is not None and key is not None:
        return Bootstrap(file_uri("--bootstrap-certificate", certificate), key_uri("--bootstrap-key", key))
    raise ArgumentError("name --bootstrap-certificate and --bootstrap-key, or --passcode-file alone")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.aziot_config", description=__doc__)
    parser.add_argument("--host", required=True, metavar="HOST[:PORT]", help="the host of the function app")
    parser.add_argument("--label", default="", help="the profile to enroll under; the default one without it")
    parser.add_argument("--registration-id", required=True, help="the device's id in DPS, which is its common name")
    parser.add_argument("--id-scope", required=True, help="the id scope of the DPS")
    parser.add_argument("--bootstrap-certificate", metavar="FILE", help="on the device: the factory's certificate")
    parser.add_argument("--bootstrap-key", metavar="FILE", help="on the device: its key; or a pkcs11: URI")
    parser.add_argument("--passcode-file", type=Path, metavar="FILE", help="read here: user:password")
    text = "on the device: a TLS root beside those of the system; may be repeated"
    parser.add_argument("--trusted-ca", action="append", default=[], metavar="FILE", help=text)
    parser.add_argument("--global-endpoint", default=GLOBAL_ENDPOINT, metavar="URL", help="of the DPS")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        print(config(wanted(_parser().parse_args(arguments))), end="")
    except ArgumentError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
