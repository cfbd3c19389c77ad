"""What whoever runs DigiCert ONE gives to a factory: where each enrollment profile is asked, and by which credential.

The portal shows it; the sandbox writes it to a file that a shell can source, too.
"""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final, Self

from sandbox import ports
from sandbox.credentials import Credentials
from sandbox.digicert.ca import CMP_PROFILE, SCEP_PROFILE
from sandbox.files import write_private

FILE: Final = Path("factory") / "digicert.env"


@dataclass(frozen=True)
class Given:
    scep_url: str
    scep_password: str = field(repr=False)
    cmp_url: str
    cmp_reference: str
    cmp_secret: str = field(repr=False)
    acme_directory: str
    acme_key_id: str
    acme_hmac_key: str = field(repr=False)

    @classmethod
    def of(cls, credentials: Credentials) -> Self:
        return cls(
            scep_url=f"http://{ports.DIGICERT_HTTP_HOST}/iot/api/v1/scep/{SCEP_PROFILE}",
            scep_password=credentials.scep_passcode,
            cmp_url=f"https://{ports.DIGICERT_HOST}/iot/api/v1/cmp/{CMP_PROFILE}",
            cmp_reference=credentials.cmp_reference,
            cmp_secret=credentials.cmp_passcode,
            acme_directory=f"https://{ports.DIGICERT_HOST}/iot/api/v1/acme/directory",
            acme_key_id=credentials.acme_key_id,
            acme_hmac_key=credentials.acme_hmac_key,
        )

    @classmethod
    def read(cls, state: Path) -> Self:
        """From the folder of the running sandbox."""
        lines = (state / FILE).read_text().splitlines()
        values = dict(line.split("=", 1) for line in lines)
        return cls(**{each.name: values[each.name.upper()] for each in fields(cls)})

    def write(self, state: Path) -> None:
        text = "".join(f"{name.upper()}={value}\n" for name, value in asdict(self).items())
        write_private(state / FILE, text)
