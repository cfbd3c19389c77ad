"""What the flows need of DigiCert ONE to find certificates that came by another way than through this app."""

from typing import Protocol

from shared.flows.ports.issuance import Answer


class Inventory(Protocol):
    """The certificates that DigiCert ONE has issued for one label, by whatever protocol."""

    async def named(self, common_name: str) -> tuple[Answer, ...]:
        """The valid certificates of that common name. Raises Unavailable, Throttled, UpstreamRefused."""
        ...


class AdoptionWork(Protocol):
    """The queue of certificates that were seen and are not known."""

    async def adopt(self, label: str, common_name: str, thumbprint: str, certificate: bytes, hub: str) -> None:
        """Find out what it is, and take it in if it is ours. Raises Unavailable.

        `certificate` is its DER, or empty where nothing but the thumbprint was seen. `hub` is the name of the IoT Hub
        that has it, or empty. `label` is empty where nothing tells it.
        """
        ...
