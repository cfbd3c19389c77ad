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


class RenewableSecrets(Secrets, Protocol):
    """Key Vault, for who is told that a secret has a new version."""

    async def forget(self, name: str) -> bool:
        """Let the next `get` of this process ask Key Vault. False when it has never read a secret of that name.

        Names compare without case, as Key Vault's do.
        """
        ...
