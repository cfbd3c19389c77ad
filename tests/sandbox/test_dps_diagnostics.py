"""The diagnostic log of DPS: a record for each registration, whatever became of it."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sandbox import pki
from sandbox.dps.diagnostics import Reader
from tests.sandbox.azure import Azure, play
from tests.sandbox.support import new_device, serving


@dataclass
class EventHub:
    """Stands for the function host."""

    batches: list[list[dict[str, Any]]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        async def take(request: web.Request) -> web.Response:
            self.keys.append(request.headers["x-functions-key"])
            self.batches.append(await request.json())
            return web.Response(status=202)

        app = web.Application()
        app.router.add_post("/admin/eventhubs/dps-logs", take)
        return app

    def records(self) -> list[dict[str, Any]]:
        return [record for batch in self.batches for event in batch for record in event["records"]]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for lives in the stand-in
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("as_text", [True, False])
def test_each_registration_leaves_a_record(tmp_path: Path, *, as_text: bool) -> None:
    async def scenario(stage: Azure) -> None:
        hub, log = EventHub(), stage.state.diagnostics
        log.properties_as_text = as_text
        async with serving(hub.app()) as port:
            log.reader = Reader(f"http://127.0.0.1:{port}/admin/eventhubs", "master-key")
            device = new_device(stage.hierarchy.ica, "Dev-1")
            await stage.register(device, "Dev-1")
            await stage.register(new_device(pki.factory_authority(), "Dev-1"), "Dev-1")
            stage.webhook.status = 403
            await stage.register(device, "Dev-1")
            body = {"registrationId": "Dev-1", "attestation": {"type": "symmetricKey"}}
            await stage.service("PUT", "/enrollments/Dev-1", body | {"provisioningStatus": "disabled"})
            await stage.register(device, "Dev-1")
            await until(lambda: len(hub.records()) == 4)
        told = [(each["resultType"], each["resultSignature"], each["resultDescription"]) for each in hub.records()]
        assert told == [
            ("Success", "", ""),
            ("Failure", "401002", "CA certificate not found."),
            ("Failure", "400209", "Custom allocation failed with status code: 403"),
            ("Failure", "", "disabled"),
        ]
        for record in hub.records():
            properties = json.loads(record["properties"]) if as_text else record["properties"]
            assert properties == {"id": "Dev-1", "type": "Registration", "protocol": "Http"}
            assert record["category"] == "DeviceOperations"
        assert set(hub.keys) == {"master-key"}

    play(tmp_path, scenario)


def test_what_nobody_reads_is_lost(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        def outcomes() -> list[object]:
            return [each["outcome"] for each in stage.world.journal.entries if each["event"] == "diagnostics sent"]

        log = stage.state.diagnostics
        device = new_device(stage.hierarchy.ica, "dev-1")
        await stage.register(device, "dev-1")
        await until(outcomes)
        log.reader = Reader("http://127.0.0.1:9/admin/eventhubs", "master-key")
        await stage.register(device, "dev-1")
        await until(lambda: len(outcomes()) == 2)
        assert outcomes() == ["nobody reads them", "ClientConnectorError"]
        assert log.waiting == []

    play(tmp_path, scenario)
