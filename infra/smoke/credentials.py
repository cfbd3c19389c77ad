"""The credentials of the smoke test: from files, standard input or the environment, never from an argument."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from infra.smoke.arguments import Options
from shared.adapters import tls
from shared.core.client_certificate import device_named
from shared.core.errors import Refusal


class Unusable(Exception):
    """A credential is missing, or is none. The text never holds it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Each is empty where it was not given."""

    function_key: str = field(default="", repr=False)
    bootstrap: str = field(default="", repr=False)
    digicert_key: str = field(default="", repr=False)

    @property
    def is_certificate(self) -> bool:
        """Whether the device shows a factory certificate at first, and no password."""
        return "-----BEGIN" in self.bootstrap

    def named(self) -> str:
        """The device that the factory certificate names. Raises Unusable."""
        try:
            return device_named(x509.load_pem_x509_certificates(self.bootstrap.encode())[0], "subject.common_name")
        except Refusal as error:
            raise Unusable(f"the factory certificate names no device in its CN, so say --device: {error}") from error


def read(options: Options, environment: Mapping[str, str]) -> Credentials:
    """Raises Unusable."""
    found = Credentials(
        function_key=_one(options.function_key, environment.get("BIRTHCERT_FUNCTION_KEY", "")),
        bootstrap=_one(options.bootstrap, environment.get("BIRTHCERT_BOOTSTRAP", "")),
        digicert_key=_one(options.digicert_key, environment.get("BIRTHCERT_DIGICERT_API_KEY", "")),
    )
    if options.enroll:
        _check(found)
        if found.is_certificate and not options.device:
            found.named()
    return found


def _check(found: Credentials) -> None:
    if not found.function_key:
        raise Unusable("a test device needs --function-key FILE or BIRTHCERT_FUNCTION_KEY; --no-enroll leaves it out")
    if not found.bootstrap:
        raise Unusable("a test device needs --bootstrap FILE or BIRTHCERT_BOOTSTRAP; --no-enroll leaves it out")
    if not found.is_certificate:
        if ":" not in found.bootstrap or "\n" in found.bootstrap:
            raise Unusable("the bootstrap credential is neither user:password nor a factory certificate with its key")
        return
    try:
        tls.client_context(found.bootstrap)
    except Refusal as error:
        raise Unusable(f"the factory certificate and its key are of no use: {error.cause}") from error


def _one(source: str, otherwise: str) -> str:
    if not source:
        return otherwise.strip()
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"{source} cannot be read: {type(error).__name__}") from error
    if not text.strip():
        raise Unusable(f"{source} is empty")
    return text.strip()
