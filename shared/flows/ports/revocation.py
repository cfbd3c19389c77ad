"""What the flows need of DigiCert ONE and its CAs to revoke, and to learn of revocations."""

from dataclasses import dataclass
from typing import Protocol

from shared.core.fleet import LedgerCertificate
from shared.core.revocation import Reason


class Revocation(Protocol):
    """DigiCert ONE's revocation for one label."""

    async def revoke(self, certificate: LedgerCertificate, why: Reason, comment: str) -> None:
        """Revoke the certificate; one that is revoked already, or that cannot be found any more, is done.

        Raises Unavailable, Throttled, UpstreamRefused, OutcomeUnknown (revoking again does no harm).
        """
        ...


@dataclass(frozen=True, slots=True)
class Download:
    """A CRL as it was served, with the marks by which a server knows what we have; empty when it gave none."""

    der: bytes
    etag: str = ""
    modified: str = ""


class Crls(Protocol):
    """Where CAs publish what they have revoked."""

    async def fetch(self, url: str, etag: str, modified: str) -> Download | None:
        """The CRL; None when it is still the one with these marks. Raises Unavailable, UpstreamRefused, TooLarge."""
        ...


@dataclass(frozen=True, slots=True)
class RevokedPage:
    """Serial numbers, lower-case hex; `next` is the offset of the page after it, `total` the length of the list."""

    serials: tuple[str, ...]
    next: int
    total: int


class RevokedList(Protocol):
    """What DigiCert ONE lists as revoked, for one label."""

    async def page(self, offset: int) -> RevokedPage:
        """A part of the list. Raises Unavailable, Throttled, UpstreamRefused."""
        ...
