"""The device registries of the linked hubs, through azure-iot-hub: a synchronous SDK, so in threads of its own."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.core.errors import Misconfigured, Unavailable
from shared.core.identity import DeviceId
from shared.flows.ports import HubIdentity

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential


@dataclass(frozen=True)
class IotHubs:
    """`hosts` maps hub names, as events call them, to host names."""

    hosts: Mapping[str, str]
    credential: "Callable[[], TokenCredential]"
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=8, thread_name_prefix="iot-hub")
    )
    _registries: dict[str, Any] = field(default_factory=dict, repr=False)

    async def identity(self, hub: str, device: DeviceId) -> HubIdentity | None:
        """The device as the registry holds it. Hub names compare without case: Event Grid upper-cases some."""
        host = {name.lower(): host for name, host in self.hosts.items()}.get(hub.lower())
        if host is None:
            raise Misconfigured("the hub is not one of ours", cause=f"IOT_HUBS does not name {hub}")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._identity, host, device)

    def _identity(self, host: str, device: DeviceId) -> HubIdentity | None:
        from msrest.exceptions import ClientException, HttpOperationError

        try:
            found = self._registry(host).get_device(device)
        except HttpOperationError as error:
            if error.response.status_code == 404:
                return None
            raise _translated(host, error.response.status_code) from error
        except (ClientException, OSError) as error:
            raise Unavailable("a service that is needed fails", retry_after=5, cause=f"{host}: {error!r}") from error
        held = found.authentication.x509_thumbprint if found.authentication else None
        thumbprints = (held.primary_thumbprint, held.secondary_thumbprint) if held else ()
        return HubIdentity(tuple(one for one in thumbprints if one), found.status == "enabled")

    def _registry(self, host: str) -> Any:  # noqa: ANN401 - the SDK ships no types
        """The SDK's client of a hub. Making it fetches a token, so it is made in a thread and kept."""
        from azure.iot.hub import IoTHubRegistryManager

        if host not in self._registries:
            self._registries[host] = IoTHubRegistryManager.from_token_credential(host, self.credential())
        return self._registries[host]


def _translated(host: str, status: int) -> Exception:
    if status in (401, 403):
        return Misconfigured("the service is not set up correctly", cause=f"{host} answers {status}")
    return Unavailable("a service that is needed fails", retry_after=5, cause=f"{host} answers {status}")
