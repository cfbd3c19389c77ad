"""Resource Manager over TLS on a free port, with one DPS and two hubs, and Microsoft's own client in front of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.iothubprovisioningservices.aio import IotDpsClient

from sandbox import arm, entra, pki
from sandbox.arm.state import DPS_NAME, RESOURCE_GROUP, SUBSCRIPTION, ArmState, Site
from sandbox.credentials import new_credentials
from sandbox.dps.state import DpsState
from sandbox.iot_hub.state import Hub
from sandbox.world import Fault, World, new_world
from tests.sandbox.serving import serving, tls_context

HUBS: Final = ("hub-a.azure-devices.net", "hub-b.azure-devices.net")
NAMES: Final[dict[str, Any]] = {"resource_group_name": RESOURCE_GROUP, "provisioning_service_name": DPS_NAME}
HIERARCHY: Final = pki.issuing_hierarchy(new_world().clock.now())


@dataclass
class Stage:
    world: World
    state: ArmState
    client: IotDpsClient
    url: str

    def fault(self, kind: str, method: str = "", times: int = 1) -> None:
        self.world.faults.planned.append(Fault(arm.SERVICE, kind, method=method, times=times))

    def writes(self) -> list[str]:
        """What was written, as the last part of the path."""
        entries = (entry for entry in self.world.journal.entries if entry["event"] == "request")
        return [entry["path"].rpartition("/")[2] for entry in entries if entry["method"] == "PUT"]


def play(folder: Path, patch: pytest.MonkeyPatch, steps: Callable[[Stage], Awaitable[None]]) -> None:
    """Runs the steps; nothing is linked, uploaded or deployed at their beginning."""
    world = new_world()
    credentials = new_credentials(world)
    hubs = {host: Hub(host.partition(".")[0], host, world, lambda _: None) for host in HUBS}
    site = Site("app.azurewebsites.net", {"allocation": "the/key=="})
    state = ArmState(DpsState(world, {}), hubs, site, "dps.azure-devices-provisioning.net")
    authorize = partial(entra.check_token, world, credentials)

    async def run() -> None:
        tls = tls_context(folder)
        anchors = str(folder / "tls-root.pem")
        async with (
            serving(entra.app(world, credentials), tls) as identity,
            serving(arm.app(world, state, authorize), tls) as port,
        ):
            patch.setenv("IDENTITY_ENDPOINT", f"https://localhost:{identity}/msi/token")
            patch.setenv("IDENTITY_HEADER", credentials.identity_header)
            url = f"https://localhost:{port}"
            quick = {"polling_interval": 0.1, "retry_backoff_factor": 0.05}
            options: dict[str, Any] = {"connection_verify": anchors, **quick}
            async with (
                ManagedIdentityCredential(connection_verify=anchors) as credential,
                IotDpsClient(credential, SUBSCRIPTION, url, retry_total=2, **options) as client,
            ):
                await steps(Stage(world, state, client, url))

    asyncio.run(run())
