"""Event Grid: what it delivers, how often, what it gives up, and what a topic takes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from azure.core.credentials import AzureKeyCredential
from azure.core.messaging import CloudEvent
from azure.eventgrid.aio import EventGridPublisherClient

from sandbox import event_grid, pki
from sandbox.event_grid import EventGridState, Subscription, Target
from sandbox.front import Listener
from sandbox.iot_hub.events import lifecycle_event
from sandbox.world import World, new_world
from tests.sandbox.support import Answer, Tls, call, fronting, new_tls, serving

CREATED = "Microsoft.Devices.DeviceCreated"


@dataclass
class Host:
    """The Functions host's webhook: answers with the given statuses, the last of them for ever."""

    statuses: list[int] = field(default_factory=lambda: [202])
    got: list[tuple[dict[str, str], str, Any]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.query), request.headers["aeg-event-type"], await request.json()))
        return web.Response(status=self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0])

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/runtime/webhooks/eventgrid", self.take)
        return app

    def subjects(self) -> list[str]:
        return [body[0]["subject"] for _, _, body in self.got]


@dataclass
class Stage:
    world: World
    host: Host
    tls: Tls
    state: EventGridState
    url: str

    def raise_created(self, device: str) -> None:
        event = lifecycle_event("DeviceCreated", "hub-a", {"deviceId": device}, self.world.clock.now())
        self.state.raise_event(event)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - what is waited for lives in the stand-in
                await asyncio.sleep(0.01)

    async def publish(self, events: object, **headers: str) -> Answer:
        sent = {"aeg-sas-key": "topic-key"} | {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.url}/api/events?api-version=2018-01-01"
        return await call("POST", url, self.tls.trust(), headers=sent, json=events)


def refuse(_: web.Request, audience: str) -> None:
    assert audience == "https://eventgrid.azure.net"
    raise web.HTTPUnauthorized


@contextlib.asynccontextmanager
async def staged(*statuses: int) -> AsyncIterator[Stage]:
    world, tls, host = new_world(), new_tls(), Host(list(statuses) or [202])
    async with serving(host.app()) as host_port, fronting(tls, Listener(0, host_port, "edge")) as edge:
        url = f"https://127.0.0.1:{edge.ports[0]}/runtime/webhooks/eventgrid"
        subscriptions = [Subscription("device_created", frozenset({CREATED}))]
        state = EventGridState(world, Target(url, "system-key", tls.trust()), subscriptions, back_off=(0.01,))
        app = event_grid.app(world, state, refuse, "topic-key")
        async with serving(app) as port, fronting(tls, Listener(0, port)) as front:
            yield Stage(world, host, tls, state, f"https://localhost:{front.ports[0]}")


def test_an_event_reaches_the_function_that_subscribed() -> None:
    async def scenario() -> None:
        async with staged() as stage:
            stage.state.raise_event({"id": "1", "eventType": "Microsoft.Devices.DeviceDeleted", "subject": "x"})
            stage.raise_created("dev-1")
            await stage.until(lambda: bool(stage.host.got))
            ((query, kind, body),) = stage.host.got
            assert query == {"functionName": "device_created", "code": "system-key"}
            assert kind == "Notification"
            assert [event["data"]["deviceId"] for event in body] == ["dev-1"]

    asyncio.run(scenario())


@pytest.mark.parametrize("statuses", [(503, 202), (500, 401, 429, 200)])
def test_what_fails_is_tried_again(statuses: tuple[int, ...]) -> None:
    async def scenario() -> None:
        async with staged(*statuses) as stage:
            stage.raise_created("dev-1")
            await stage.until(lambda: len(stage.host.got) == len(statuses))
            await asyncio.sleep(0.1)
            assert len({body[0]["id"] for _, _, body in stage.host.got}) == 1
            assert len(stage.host.got) == len(statuses)
            assert stage.state.dead_letters == []

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [400, 403, 413])
def test_some_answers_lose_the_event(status: int) -> None:
    async def scenario() -> None:
        async with staged(status) as stage:
            stage.raise_created("dev-1")
            await stage.until(lambda: bool(stage.state.dead_letters))
            assert len(stage.host.got) == 1
            (letter,) = stage.state.dead_letters
            assert (letter["lastDeliveryOutcome"], letter["deliveryAttempts"]) == (status, 1)

    asyncio.run(scenario())


def test_events_are_given_up_after_thirty_attempts() -> None:
    async def scenario() -> None:
        async with staged(500) as stage:
            stage.raise_created("dev-1")
            await stage.until(lambda: bool(stage.state.dead_letters))
            assert len(stage.host.got) == 30

    asyncio.run(scenario())


def test_events_come_twice_and_turned_around_on_request() -> None:
    async def scenario() -> None:
        async with staged() as stage:
            stage.state.duplicates, stage.state.reorder = 1, True
            for device in ("dev-1", "dev-2"):
                stage.raise_created(device)
            await stage.until(lambda: len(stage.host.got) == 4)
            assert stage.host.subjects() == ["devices/dev-2"] * 2 + ["devices/dev-1"] * 2

    asyncio.run(scenario())


GRID = {
    "id": "1",
    "subject": "s",
    "eventType": "t",
    "eventTime": "2026-01-01T00:00:00Z",
    "data": {},
    "dataVersion": "1",
}
CLOUD = {"id": "1", "source": "/x", "type": "t", "specversion": "1.0", "data": {}}
CLOUD_TYPE = "application/cloudevents-batch+json; charset=utf-8"


def test_a_topic_takes_both_schemas_and_nothing_else() -> None:
    async def scenario() -> None:
        async with staged() as stage:
            assert (await stage.publish([GRID])).status == 200
            assert (await stage.publish([CLOUD], Content_Type=CLOUD_TYPE)).status == 200
            assert stage.state.published == [GRID, CLOUD]
            journal = [entry for entry in stage.world.journal.entries if entry["event"] == "event published"]
            assert [entry["body"] for entry in journal] == [GRID, CLOUD]
            assert (await stage.publish(GRID)).status == 400
            assert (await stage.publish([GRID | {"surprise": 1}])).status == 400
            assert (await stage.publish([CLOUD])).status == 400
            assert (await stage.publish([CLOUD | {"specversion": "0.3"}], Content_Type=CLOUD_TYPE)).status == 400
            assert (await stage.publish([CLOUD | {"Not_Allowed": 1}], Content_Type=CLOUD_TYPE)).status == 400
            assert (await stage.publish([GRID], Content_Type="text/json")).status == 415
            assert (await stage.publish([GRID], aeg_sas_key="wrong")).status == 401
            url = f"{stage.url}/api/events?api-version=2018-01-01"
            assert (await call("POST", url, stage.tls.trust(), json=[GRID])).status == 401
            assert stage.state.published == [GRID, CLOUD]

    asyncio.run(scenario())


def test_microsofts_own_client_publishes_cloud_events(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with staged() as stage:
            root = tmp_path / "root.pem"
            root.write_text(pki.certificate_pem(stage.tls.root.certificate))
            endpoint, key = f"{stage.url}/api/events", AzureKeyCredential("topic-key")
            sent = CloudEvent(
                source="/birthcert", type="Birthcert.Device.Issued", subject="dev-1", id="7", data={"a": "b"}
            )
            async with EventGridPublisherClient(endpoint, key, connection_verify=str(root)) as client:
                await client.send([sent, sent])
            assert [(event["id"], event["subject"]) for event in stage.state.published] == [("7", "dev-1")] * 2
            assert stage.state.published[0]["data"] == {"a": "b"}

    asyncio.run(scenario())
