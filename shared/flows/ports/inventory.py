"""What the flows need of DigiCert ONE to find certificates that came by another way than through this app."""

from typing import Protocol

from shared.flows.ports.issuance import Answer


class Inventory(Protocol):
    """The certificates that DigiCert ONE has issued for one label, by whatever protocol."""

    async def named(self, common_name: str) -> tuple[Answer, ...]:
        """The valid certificates of that common name. Raises Unavailable, Throttled, UpstreamRefused."""
        ...

    async def revoked(self, common_name: str) -> tuple[Answer, ...]:
        """Those that are revoked or on hold; DigiCert ONE's list does not tell which. Raises as `named`."""
        ...
