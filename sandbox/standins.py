"""Makes all stand-ins and joins them: DPS writes into the hubs, the hubs raise events, the control reaches all."""

import secrets
import ssl
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web

from sandbox import control, digicert, dps, entra, event_grid, files, iot_hub, key_vault, pki, ports
from sandbox.credentials import Credentials
from sandbox.dps.state import DpsState
from sandbox.event_grid import EventGridState, Subscription, Target
from sandbox.files import Authorities
from sandbox.front import Front
from sandbox.iot_hub.state import Hub
from sandbox.world import World

APP_URL = f"https://{ports.LOOPBACK}:{ports.EDGE}"
SUBSCRIPTION = "/subscriptions/00000000-0000-4000-8000-000000000000"
SERVICES = (digicert.SERVICE, dps.SERVICE, iot_hub.SERVICE, key_vault.SERVICE, entra.SERVICE, event_grid.SERVICE)

# https://learn.microsoft.com/azure/event-grid/event-schema-iot-hub: what the deployment subscribes the app to.
SUBSCRIPTIONS = (
    Subscription(
        "hub_events",
        frozenset(
            f"Microsoft.Devices.{kind}"
            for kind in ("DeviceCreated", "DeviceDeleted", "DeviceConnected", "DeviceDisconnected")
        ),
    ),
)


@dataclass
class StandIns:
    """`applications` by the port that the TLS front opens for them."""

    applications: dict[int, web.Application]
    ca: digicert.Ca
    dps: DpsState
    hubs: dict[str, Hub]
    events: EventGridState
    vault: key_vault.Vault
    master_key: str = field(repr=False)
    front: Front | None = None

    async def buffer_chunked(self, wanted: bool) -> None:
        if self.front is not None:
            await self.front.set(edge_buffer_chunked=wanted)


def make(world: World, credentials: Credentials, authorities: Authorities) -> StandIns:
    """All in the state that a deployment leaves behind: CA verified, group made, secrets set, events subscribed."""
    trust = ssl.create_default_context(cadata=pki.certificate_pem(authorities.tls.certificate))
    authorize = partial(entra.check_token, world, credentials)
    target = Target(f"{APP_URL}/runtime/webhooks/eventgrid", credentials.event_grid_key, trust)
    events = EventGridState(world, target, SUBSCRIPTIONS)
    hubs = {host: Hub(name, host, world, events.raise_event) for name, host in ports.HUBS.items()}
    ca = digicert.Ca(world, authorities.issuing)
    vault_app = key_vault.app(world, credentials, files.key_vault_secrets(credentials))
    state = provisioning(world, credentials, authorities, hubs)
    return StandIns(
        applications={
            ports.DIGICERT: digicert.app(world, credentials, ca),
            ports.DPS: dps.app(world, state, authorize, trust),
            ports.IOT_HUB: iot_hub.app(world, hubs, authorize),
            ports.KEY_VAULT: vault_app,
            ports.ENTRA: entra.app(world, credentials),
            ports.EVENT_GRID: event_grid.app(world, events, authorize, new_secret(world, credentials, "topic-key")),
        },
        ca=ca,
        dps=state,
        hubs=hubs,
        events=events,
        vault=vault_app[key_vault.VAULT],
        master_key=new_secret(world, credentials, "master-key"),
    )


def provisioning(world: World, credentials: Credentials, authorities: Authorities, hubs: dict[str, Hub]) -> DpsState:
    """DPS with the verified root, and the group that trusts the issuing CA and asks the app for the hub."""
    state = DpsState(world, hubs)
    state.add_verified_ca("root", authorities.issuing.root.certificate)
    webhook = f"{APP_URL}/api/allocation?code={credentials.function_key}"
    dps.add_group(state, ports.DPS_GROUP, authorities.issuing.ica.certificate, webhook)
    return state


def levers(world: World, stand_ins: StandIns) -> control.Levers:
    """What the control API moves in the stand-ins and in the front."""

    def set_events(duplicates: int, reorder: bool) -> None:
        stand_ins.events.duplicates, stand_ins.events.reorder = duplicates, reorder

    def new_version(name: str, value: str) -> None:
        world.secrets.append(value)
        stand_ins.events.raise_event(renewed(world, name, stand_ins.vault.set_secret(name, value)))

    return control.Levers(SERVICES, stand_ins.buffer_chunked, set_events, new_version)


def renewed(world: World, name: str, version: str) -> dict[str, Any]:
    """https://learn.microsoft.com/azure/event-grid/event-schema-key-vault: SecretNewVersionCreated."""
    vault = f"{ports.LOOPBACK}:{ports.KEY_VAULT}"
    return {
        "id": secrets.token_hex(16),
        "topic": f"{SUBSCRIPTION}/resourceGroups/sandbox/providers/Microsoft.KeyVault/vaults/sandbox",
        "subject": name,
        "eventType": "Microsoft.KeyVault.SecretNewVersionCreated",
        "eventTime": world.clock.now().isoformat(),
        "data": {
            "Id": f"https://{vault}/secrets/{name}/{version}",
            "VaultName": "sandbox",
            "ObjectType": "Secret",
            "ObjectName": name,
            "Version": version,
            "NBF": None,
            "EXP": None,
        },
        "dataVersion": "1",
        "metadataVersion": "1",
    }


def new_secret(world: World, credentials: Credentials, name: str) -> str:
    value = f"{name}-{credentials.canary}-{secrets.token_urlsafe(24)}"
    world.secrets.append(value)
    return value
