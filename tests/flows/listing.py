"""What tests of lists of revoked certificates share."""

from shared.core.fleet import LedgerCertificate
from shared.flows.revocation_sync import Synced

# DigiCert ONE's own list, when it has no news.
LIST = Synced("digicert/devices", 0, 0)


def serial(held: LedgerCertificate) -> str:
    return held.certificate.serial
