"""Makes all stand-ins and joins them: DPS writes into the hubs, the hubs raise events, the control reaches all."""

import secrets
import ssl
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web

from sandbox import arm, control, digicert, dps, entra, event_grid, files, iot_hub, key_vault, pki, ports
from sandbox.arm.state import ArmState, Site
from sandbox.credentials import Credentials
from sandbox.digicert.inventory import REASONS
from sandbox.dps.diagnostics import EVENT_HUB, Reader
from sandbox.dps.state import DpsState
from sandbox.event_grid import EventGridState, Subscription, Target
from sandbox.files import Authorities
from sandbox.front import Front
from sandbox.iot_hub.state import Hub
from sandbox.pki import Hierarchy
from sandbox.world import World

HOST_URL = f"http://{ports.LOOPBACK}:{ports.FUNCTION_HOST}"
APP_URL = f"https://{ports.LOOPBACK}:{ports.EDGE}"
SUBSCRIPTION = f"/subscriptions/{arm.state.SUBSCRIPTION}"
SERVICES = (
    digicert.SERVICE,
    dps.SERVICE,
    iot_hub.SERVICE,
    key_vault.SERVICE,
    entra.SERVICE,
    event_grid.SERVICE,
    arm.SERVICE,
)

# What the deployment subscribes the app to, as far as the app has the function:
# https://learn.microsoft.com/azure/event-grid/event-schema-iot-hub and .../event-schema-key-vault
SUBSCRIPTIONS = (
    Subscription(
        "hub_events",
        frozenset(
            f"Microsoft.Devices.{kind}"
            for kind in ("DeviceCreated", "DeviceDeleted", "DeviceConnected", "DeviceDisconnected")
        ),
    ),
    Subscription("secret_renewed", frozenset({"Microsoft.KeyVault.SecretNewVersionCreated"})),
)


@dataclass
class StandIns:
    """`applications` by the port that the TLS front opens for them; those `without_tls` open theirs themselves."""

    applications: dict[int, web.Application]
    without_tls: dict[int, web.Application]
    ca: digicert.Ca
    dps: DpsState
    arm: ArmState
    hubs: dict[str, Hub]
    events: EventGridState
    vault: key_vault.Vault
    master_key: str = field(repr=False)
    front: Front | None = None

    def deployed(self, functions: Collection[str], event_hubs: Collection[str]) -> None:
        """What a deployment sets up when it knows the app's functions and the Event Hubs that they read."""
        self.events.subscriptions = [each for each in SUBSCRIPTIONS if each.function in functions]
        self.arm.site.deployed = True
        if EVENT_HUB in event_hubs:
            self.dps.diagnostics.reader = Reader(f"{HOST_URL}/admin/eventhubs", self.master_key)

    async def buffer_chunked(self, wanted: bool) -> None:
        if self.front is not None:
            await self.front.set(edge_buffer_chunked=wanted)


def make(world: World, credentials: Credentials, authorities: Authorities) -> StandIns:
    """All in the state that a deployment leaves behind: CA verified, group made, secrets set, events subscribed."""
    trust = ssl.create_default_context(cadata=pki.certificate_pem(authorities.tls.certificate))
    authorize = partial(entra.check_token, world, credentials)
    target = Target(f"{APP_URL}/runtime/webhooks/eventgrid", credentials.event_grid_key, trust)
    events = EventGridState(world, target, ())
    hubs = {host: Hub(name, host, world, events.raise_event) for name, host in ports.HUBS.items()}
    ca = digicert.Ca(world, authorities.issuing)
    vault_app = key_vault.app(world, credentials, files.key_vault_secrets(credentials))
    vault = vault_app[key_vault.VAULT]
    vault.announce = lambda name, version: events.raise_event(renewed(world, name, version))
    state = DpsState(world, {})
    site = Site(f"{ports.LOOPBACK}:{ports.EDGE}", {"allocation": credentials.allocation_key})
    arm_state = ArmState(state, hubs, site, ports.DPS_HOST)
    set_up(arm_state, ca.hierarchy, credentials)
    digicert_app = digicert.app(world, credentials, ca)
    return StandIns(
        applications={
            ports.DIGICERT: digicert_app,
            ports.DPS: dps.app(world, state, authorize, trust),
            ports.IOT_HUB: iot_hub.app(world, hubs, authorize),
            ports.KEY_VAULT: vault_app,
            ports.ENTRA: entra.app(world, credentials),
            ports.EVENT_GRID: event_grid.app(world, events, authorize, new_secret(world, credentials, "topic-key")),
            ports.RESOURCE_MANAGER: arm.app(world, arm_state, authorize),
        },
        without_tls={ports.DIGICERT_HTTP: digicert_app[digicert.WITHOUT_TLS]},
        ca=ca,
        dps=state,
        arm=arm_state,
        hubs=hubs,
        events=events,
        vault=vault,
        master_key=new_secret(world, credentials, "master-key"),
    )


def set_up(state: ArmState, hierarchy: Hierarchy, credentials: Credentials) -> None:
    """DPS with its hubs and the verified root, and the group that trusts the issuing CA and asks the app for a hub."""
    state.deploy(hierarchy.root.certificate)
    webhook = f"{APP_URL}/api/allocation?code={credentials.allocation_key}"
    dps.add_group(state.dps, ports.DPS_GROUP, hierarchy.ica.certificate, webhook)


def levers(world: World, stand_ins: StandIns, credentials: Credentials) -> control.Levers:
    """What the control API moves in the stand-ins and in the front."""

    def deployment(done: bool) -> None:
        stand_ins.arm.undeploy()
        if done:
            set_up(stand_ins.arm, stand_ins.ca.hierarchy, credentials)

    def set_events(duplicates: int, reorder: bool) -> None:
        stand_ins.events.duplicates, stand_ins.events.reorder = duplicates, reorder

    def new_version(name: str, value: str) -> None:
        world.secrets.append(value)
        stand_ins.events.raise_event(renewed(world, name, stand_ins.vault.set_secret(name, value)))

    def revoke(serial: str, reason: str) -> str:
        """What is wrong with the wish; empty when it was granted."""
        found = stand_ins.ca.by_serial(serial)
        if found is None:
            return f"DigiCert ONE has issued no certificate with the serial number {serial}"
        if reason not in REASONS:
            return f"reason is one of {', '.join(sorted(REASONS))}"
        stand_ins.ca.revoke(found, reason)
        return ""

    def renew_any_time(wanted: bool) -> None:
        stand_ins.ca.renew_any_time = wanted

    def properties_as_text(wanted: bool) -> None:
        stand_ins.dps.diagnostics.properties_as_text = wanted

    return control.Levers(
        services=SERVICES,
        buffer_chunked=stand_ins.buffer_chunked,
        event_grid=set_events,
        new_secret_version=new_version,
        published=lambda: stand_ins.events.published,
        dead_letters=lambda: stand_ins.events.dead_letters,
        roll=lambda announce_old: stand_ins.ca.roll(announce_old=announce_old),
        revoke=revoke,
        renew_any_time=renew_any_time,
        properties_as_text=properties_as_text,
        shows_certificate=partial(setattr, stand_ins.dps, "reveals_certificate"),
        deployment=deployment,
    )


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
