"""What a CMP request is refused for: a bit of PKIFailureInfo (RFC 4210, 5.2.3) and a line for a person."""

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat import asn1

from sandbox.digicert.cmp.syntax import StatusInfo

REJECTION: Final = 2

BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST, BAD_CERT_ID, INCORRECT_DATA = 0, 1, 2, 4, 7
BAD_POP, BAD_RECIPIENT_NONCE, BAD_CERT_TEMPLATE, SIGNER_NOT_TRUSTED = 9, 13, 19, 20
TRANSACTION_ID_IN_USE, UNSUPPORTED_VERSION, NOT_AUTHORIZED = 21, 22, 23


@dataclass
class RefusedError(Exception):
    bit: int
    text: str

    def status(self) -> StatusInfo:
        """A list of named bits has no trailing zeros (X.690, 11.2.2)."""
        octets, last = divmod(self.bit, 8)
        bits = asn1.BitString(bytes(octets) + bytes([0x80 >> last]), 7 - last)
        return StatusInfo(status=REJECTION, text=[self.text], fail_info=bits)
