"""What the flows need of DigiCert ONE to issue certificates."""

from dataclasses import dataclass
from typing import Protocol

from cryptography import x509

from shared.core.csr import SigningRequest


@dataclass(frozen=True, slots=True)
class Answer:
    """Certificates as the upstream sent them, unchecked; `digicert_id` is empty when it did not tell."""

    certificates: list[x509.Certificate]
    digicert_id: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """The upstream accepted the request and will decide later: ask again after `retry_after` seconds."""

    retry_after: int


class Upstream(Protocol):
    """DigiCert ONE for one label."""

    async def issue(self, request: SigningRequest, renews: str) -> Answer | Pending:
        """Ask for a certificate; `renews` is DigiCert ONE's id of the certificate being renewed, or empty.

        Raises UpstreamRefused, Malformed, Throttled, Unavailable when nothing was issued, OutcomeUnknown when that
        is not known.
        """
        ...

    async def poll(self, request: SigningRequest) -> Answer | Pending:
        """Ask again for what was pending. Raises as `issue`."""
        ...

    async def find(self, request: SigningRequest) -> Answer | None:
        """The newest valid certificate with the request's public key that was issued before. Raises Unavailable."""
        ...


class ChainSource(Protocol):
    """Where a label's CA certificates come from."""

    async def fetch(self) -> list[x509.Certificate]:
        """Root and issuing CAs. Raises Unavailable, UpstreamRefused."""
        ...
