"""What the flows need of Key Vault."""

from typing import Protocol


class Secrets(Protocol):
    """Key Vault."""

    async def get(self, name: str) -> str:
        """The secret's value, perhaps minutes old. Raises Unavailable, Misconfigured."""
        ...


class FreshSecrets(Secrets, Protocol):
    """Key Vault, for who has just been told that a secret is no longer right."""

    async def get_fresh(self, name: str) -> str:
        """The secret's value as it is now. Raises as `get`."""
        ...
