"""DigiCert ONE CA Manager (today: Private CA): where root and issuing CA certificates are downloaded."""

from dataclasses import dataclass

from cryptography import x509

from shared.adapters.digicert import LOOK_UP_SECONDS, Session, refusal
from shared.adapters.transport import Call
from shared.core.errors import UpstreamRefused


@dataclass(frozen=True)
class CaManagerChainSource:
    """`url` is the platform's address without a path."""

    session: Session
    url: str
    ca_ids: tuple[str, ...]

    async def fetch(self) -> list[x509.Certificate]:
        return [await self._certificate(ca_id) for ca_id in self.ca_ids]

    async def _certificate(self, ca_id: str) -> x509.Certificate:
        """One CA certificate. The format of the download is not documented: PEM is asked for, DER is taken too."""
        url = f"{self.url}/certificate-authority/api/v1/ca/{ca_id}/download"
        call = Call("GET", url, headers={"Accept": "application/x-pem-file"}, seconds=LOOK_UP_SECONDS)
        response = await self.session.send(call)
        if response.status_code != 200:
            raise refusal(response)
        try:
            if b"-----BEGIN" in response.content:
                return x509.load_pem_x509_certificate(response.content)
            return x509.load_der_x509_certificate(response.content)
        except ValueError as error:
            raise UpstreamRefused("the CA's answer cannot be read", cause=f"{ca_id}: {error}") from error
