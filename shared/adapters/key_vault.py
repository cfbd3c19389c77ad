"""Secrets from Key Vault, by managed identity, kept in memory for minutes and nowhere else."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)

from shared.core.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from azure.keyvault.secrets.aio import SecretClient

FRESH_SECONDS: Final = 300.0
_TEXT: Final = "the service is not set up correctly"


@dataclass(frozen=True, slots=True)
class _Kept:
    value: str = field(repr=False)
    until: float


@dataclass(frozen=True)
class KeyVault:
    """A value older than five minutes is read anew; while Key Vault does not answer, the old one serves on."""

    client: "SecretClient"
    monotonic: Callable[[], float]
    _kept: dict[str, _Kept] = field(default_factory=dict, repr=False)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict, repr=False)

    async def get(self, name: str) -> str:
        """The value, at most five minutes old while Key Vault answers. Raises Unavailable, Misconfigured."""
        kept = self._kept.get(name)
        if kept is not None and self.monotonic() < kept.until:
            return kept.value
        async with self._locks.setdefault(name, asyncio.Lock()):
            kept = self._kept.get(name)
            if kept is not None and self.monotonic() < kept.until:
                return kept.value
            try:
                return await self._read(name)
            except Unavailable:
                if kept is None:
                    raise
                return kept.value

    async def get_fresh(self, name: str) -> str:
        """The value as it is now. Raises Unavailable, Misconfigured."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            return await self._read(name)

    async def forget(self, name: str) -> bool:
        """A read that is under way may still bring the old value: it is waited for. The old one is there in need."""
        known = [one for one in self._locks if one.lower() == name.lower()]
        for one in known:
            async with self._locks[one]:
                if one in self._kept:
                    self._kept[one] = replace(self._kept[one], until=self.monotonic())
        return bool(known)

    async def _read(self, name: str) -> str:
        try:
            secret = await self.client.get_secret(name)
        except ResourceNotFoundError as error:
            raise Misconfigured(_TEXT, cause=f"Key Vault has no secret {name}") from error
        except ClientAuthenticationError as error:
            raise Misconfigured(_TEXT, cause=f"Key Vault refuses our identity: {error.reason or 'no token'}") from error
        except HttpResponseError as error:
            if error.status_code == 403:
                raise Misconfigured(_TEXT, cause=f"we may not read the secret {name}") from error
            raise _unavailable(error) from error
        except AzureError as error:
            raise _unavailable(error) from error
        value = secret.value or ""
        if not value or value.startswith("@Microsoft.KeyVault("):
            # An unresolved reference reaches us as its own text.
            raise Misconfigured(_TEXT, cause=f"the secret {name} is empty or an unresolved reference")
        self._kept[name] = _Kept(value, self.monotonic() + FRESH_SECONDS)
        return value


def _unavailable(error: AzureError) -> Unavailable:
    return Unavailable("a service that is needed does not answer", retry_after=5, cause=f"Key Vault: {error!r}")
