"""Secrets in Key Vault, for somebody who may write them: read to compare, written where they differ, never shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError

from infra.setup.refused import Refused, by_azure
from shared.flows.ports.secrets import FreshSecrets

if TYPE_CHECKING:
    from azure.keyvault.secrets.aio import SecretClient

ROLE: Final = "Key Vault Secrets Officer on the vault"


@dataclass(frozen=True)
class Vault:
    """All methods raise Refused."""

    client: "SecretClient"

    async def read(self, name: str) -> str | None:
        """The newest value; None where there is no such secret."""
        try:
            return (await self.client.get_secret(name)).value
        except ResourceNotFoundError:
            return None
        except AzureError as error:
            raise self._refused(error, name, "read") from error

    async def write(self, name: str, value: str) -> None:
        try:
            await self.client.set_secret(name, value)
        except AzureError as error:
            raise self._refused(error, name, "write") from error

    def _refused(self, error: AzureError, name: str, doing: str) -> Refused:
        of = f"--name {name} --vault-name {urlsplit(self.client.vault_url).netloc.partition('.')[0]}"
        match getattr(error, "status_code", None), _inner(error):
            case 403, "SecretDisabled":
                text = f"the secret {name} is disabled"
                return Refused(text, f"az keyvault secret set-attributes {of} --enabled true; then run this again.")
            case 403, inner if inner in {"ForbiddenByFirewall", "ForbiddenByConnection"}:
                text = "the firewall of the vault lets nobody in from here"
                return Refused(text, "Let this machine's address in for the time of the setup, or run it from inside.")
            case 409, _:
                text = f"a deleted secret {name} still holds its name"
                return Refused(text, f"az keyvault secret recover {of}; then run this again.")
            case _:
                return by_azure(error, f"{doing} the secret {name}", ROLE)


@dataclass(frozen=True)
class GivenFirst:
    """What was handed over counts before what Key Vault holds: a plan is made before anything is written."""

    given: Mapping[str, str] = field(repr=False)
    vault: FreshSecrets

    async def get(self, name: str) -> str:
        """Raises as FreshSecrets."""
        return self.given.get(name) or await self.vault.get(name)

    async def get_fresh(self, name: str) -> str:
        return self.given.get(name) or await self.vault.get_fresh(name)


def _inner(error: AzureError) -> str:
    told = error.error if isinstance(error, HttpResponseError) else None
    return str((getattr(told, "innererror", None) or {}).get("code", ""))
