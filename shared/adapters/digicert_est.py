"""DigiCert ONE IoT Trust Manager over EST (RFC 7030): we are its client, as a registration authority."""

import base64
import binascii
import warnings
from dataclasses import dataclass

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.utils import CryptographyDeprecationWarning

from shared.adapters.digicert import ISSUE_SECONDS, LOOK_UP_SECONDS, Session, refusal
from shared.adapters.digicert_rest import Certificates
from shared.adapters.transport import Call
from shared.core.csr import SigningRequest
from shared.core.errors import UpstreamRefused
from shared.flows.ports.issuance import Answer, Pending

_POLL_AFTER = 30


@dataclass(frozen=True)
class EstUpstream:
    """`url` ends before the operation. Without `look_up`, an order whose answer was lost is ordered again."""

    session: Session
    url: str
    look_up: Certificates | None

    async def issue(self, request: SigningRequest, renews: str) -> Answer | Pending:
        """Always `simpleenroll`: at `simplereenroll` DigiCert ONE would see our certificate, not the device's."""
        del renews
        call = Call(
            "POST",
            f"{self.url}/simpleenroll",
            headers={
                "Content-Type": "application/pkcs10",
                "Content-Transfer-Encoding": "base64",
                "Accept": "*/*",
            },
            content=base64.encodebytes(request.der),
            repeatable=False,
            seconds=ISSUE_SECONDS,
        )
        response = await self.session.send(call)
        if response.status_code == 202:
            # RFC 7030 §4.2.3: Retry-After must be there; the same request is sent again after it.
            return Pending(self.session.transport.retry_after(response, otherwise=_POLL_AFTER))
        if response.status_code != 200:
            raise refusal(response)
        return Answer(certificates(response))

    async def poll(self, request: SigningRequest) -> Answer | Pending:
        """RFC 7030 §4.2.3: the client asks by sending the same request again."""
        return await self.issue(request, "")

    async def find(self, request: SigningRequest) -> Answer | None:
        """EST itself cannot be asked what it has issued; the REST interface can."""
        return await self.look_up.find(request) if self.look_up else None


@dataclass(frozen=True)
class EstChainSource:
    """The CA certificates from the upstream's `cacerts`."""

    session: Session
    url: str

    async def fetch(self) -> list[x509.Certificate]:
        response = await self.session.send(Call("GET", f"{self.url}/cacerts", seconds=LOOK_UP_SECONDS))
        if response.status_code != 200:
            raise refusal(response)
        return certificates(response)


def certificates(response: httpx.Response) -> list[x509.Certificate]:
    """The certificates of a certs-only answer. Raises UpstreamRefused."""
    media = response.headers.get("Content-Type", "")
    if not media.startswith("application/pkcs7-mime"):
        raise UpstreamRefused("the CA's answer cannot be read", cause=f"Content-Type {media!r}")
    try:
        return _from_pkcs7(binascii.a2b_base64(b"".join(response.content.split()), strict_mode=True))
    except ValueError as error:
        raise UpstreamRefused("the CA's answer cannot be read", cause=str(error)) from error


def _from_pkcs7(encoded: bytes) -> list[x509.Certificate]:
    """Trailing bytes are refused here, because the parser falls back to BER and accepts them.

    An unsorted SET, as OpenSSL writes it, goes through the same fallback and is fine.
    """
    if (
        len(encoded) < 4
        or encoded[:1] != b"\x30"
        or encoded[1] < 0x82
        or 4 + int.from_bytes(encoded[2:4]) != len(encoded)
    ):
        raise ValueError("not one DER structure")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return pkcs7.load_der_pkcs7_certificates(encoded)
