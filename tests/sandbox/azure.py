"""DPS, two hubs and Event Grid behind one TLS front on free ports, as tests of each of them need the others."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox import dps, iot_hub, pki
from sandbox.credentials import Credentials, new_credentials
from sandbox.dps.state import DpsState
from sandbox.entra import DPS_AUDIENCE, IOT_HUB_AUDIENCE, check_token, issue_token
from sandbox.front import Listener
from sandbox.iot_hub.state import Hub
from sandbox.world import Clock, World, new_world
from tests.sandbox.support import Answer, Device, Tls, call, client_context, fronting, new_tls, serving


@dataclass
class Webhook:
    """Stands for the app: keeps what DPS asks and gives the answer that the test wants."""

    answer: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def allocate(self, request: web.Request) -> web.Response:
        self.asked.append(json.loads(await request.text()) | {"query": dict(request.query)})
        return web.json_response(self.answer, status=self.status)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/allocate", self.allocate)
        return app


@dataclass
class Azure:
    world: World
    credentials: Credentials
    tls: Tls
    folder: Path
    hierarchy: pki.Hierarchy
    hub_a: Hub
    hub_b: Hub
    state: DpsState
    webhook: Webhook
    dps: str
    webhook_url: str
    events: list[dict[str, Any]]

    def context(self, device: Device | None = None) -> ssl.SSLContext:
        return client_context(self.tls, device, self.folder)

    def token(self, audience: str) -> str:
        now = Clock().now()  # tokens live on the machine's clock
        begin, end = now - timedelta(minutes=1), now + timedelta(hours=1)
        return issue_token(self.world, self.credentials, audience, not_before=begin, expires=end)

    async def service(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """A call of the DPS service API."""
        url = f"https://{self.dps}{path}{'&' if '?' in path else '?'}api-version=2021-10-01"
        return await self.call_as_service(DPS_AUDIENCE, method, url, body, headers)

    async def registry(self, hub: Hub, method: str, path: str, body: object = None, **headers: str) -> Answer:
        url = f"https://{hub.host}{path}{'&' if '?' in path else '?'}api-version=2021-04-12"
        return await self.call_as_service(IOT_HUB_AUDIENCE, method, url, body, headers)

    async def call_as_service(
        self, audience: str, method: str, url: str, body: object, headers: dict[str, str]
    ) -> Answer:
        sent = {"Authorization": f"Bearer {self.token(audience)}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        options: dict[str, Any] = {} if body is None else {"json": body}
        return await call(method, url, self.context(), headers=sent, **options)

    async def register(self, device: Device, registration_id: str, **payload: object) -> Answer:
        """Register and poll until it is over; a refusal at once is that answer."""
        url = f"https://{self.dps}/{self.state.id_scope}/registrations/{registration_id}"
        body = {"registrationId": registration_id, **payload}
        version = "api-version=2021-06-01"
        context = self.context(device)
        answer = await call("PUT", f"{url}/register?{version}", context, json=body)
        while answer.status == 202:
            assert answer.body["status"] == "assigning"
            operation = answer.body["operationId"]
            answer = await call("GET", f"{url}/operations/{operation}?{version}", context)
        return answer

    async def connect(self, hub: Hub, device: Device, device_id: str) -> int:
        url = f"https://{hub.host}/devices/{device_id}/messages/events?api-version=2020-03-13"
        return (await call("POST", url, self.context(device), data=b"{}")).status

    def reasons(self) -> list[str]:
        return [entry["reason"] for entry in self.world.journal.entries if "reason" in entry]


@contextlib.asynccontextmanager
async def azure(folder: Path) -> AsyncIterator[Azure]:
    """Both hubs and the DPS; the group `birthcert` for the issuing CA, its root verified, allocation by the webhook."""
    world, tls, webhook = new_world(), new_tls(), Webhook()
    credentials = new_credentials(world)
    events: list[dict[str, Any]] = []
    hierarchy = pki.issuing_hierarchy(world.clock.now())
    authorize = partial(check_token, world, credentials)
    hub_a, hub_b = Hub("hub-a", "", world, events.append), Hub("hub-b", "", world, events.append)
    hubs: dict[str, Hub] = {}
    state = DpsState(world, hubs, retry_after=0)
    async with (
        serving(iot_hub.app(world, hubs, authorize)) as hub_port,
        serving(dps.app(world, state, authorize, tls.trust())) as dps_port,
        serving(webhook.app()) as webhook_port,
        fronting(tls, *(Listener(0, port) for port in (hub_port, dps_port, webhook_port))) as front,
    ):
        hub_a.host, hub_b.host = f"localhost:{front.ports[0]}", f"127.0.0.1:{front.ports[0]}"
        hubs |= {hub.host: hub for hub in (hub_a, hub_b)}
        webhook.answer = {"iotHubHostName": hub_a.host}
        webhook_url = f"https://localhost:{front.ports[2]}/api/allocate?code=key"
        state.add_verified_ca("root", hierarchy.root.certificate)
        dps.add_group(state, "birthcert", hierarchy.ica.certificate, webhook_url)
        yield Azure(
            world=world,
            credentials=credentials,
            tls=tls,
            folder=folder,
            hierarchy=hierarchy,
            hub_a=hub_a,
            hub_b=hub_b,
            state=state,
            webhook=webhook,
            dps=f"localhost:{front.ports[1]}",
            webhook_url=webhook_url,
            events=events,
        )


def play(folder: Path, scenario: Callable[[Azure], Awaitable[None]]) -> None:
    async def staged() -> None:
        async with azure(folder) as stage:
            await scenario(stage)

    asyncio.run(staged())
