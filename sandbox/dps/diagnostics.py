"""The diagnostic log of DPS: one DeviceOperations record for each registration, sent to an Event Hub.

https://learn.microsoft.com/azure/iot-dps/monitor-iot-dps-reference and .../azure-monitor/platform/resource-logs-schema
show the fields, and of the operations only a successful AttestationAttempt. That a refusal is a `Failure` under the
same name, with DPS's code and text as signature and description, is a guess. No certificate, hub or group is named.
"""

import asyncio
import contextlib
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from sandbox.world import World

Json = dict[str, Any]

EVENT_HUB: Final = "dps-logs"
RESOURCE: Final = (
    "/SUBSCRIPTIONS/00000000-0000-4000-8000-000000000000/RESOURCEGROUPS/SANDBOX"
    "/PROVIDERS/MICROSOFT.DEVICES/PROVISIONINGSERVICES/SANDBOX"
)


@dataclass(frozen=True)
class Reader:
    """The function host, which stands for the Event Hub and its reader (`sandbox/host/event_hubs.py`)."""

    url: str
    key: str = field(repr=False)


@dataclass
class Diagnostics:
    """Records wait for `delay` seconds (minutes at Azure, nobody says how many) and go out together.

    `properties` comes as an object or as a text that holds JSON: both are told of. Without a `reader` they are lost,
    as they are at Azure when nothing reads the Event Hub for a day.
    """

    world: World
    reader: Reader | None = None
    delay: float = 0.3
    properties_as_text: bool = False
    waiting: list[Json] = field(default_factory=list)
    sending: asyncio.Task[None] | None = None

    async def noted(self, registration_id: str, work: Callable[[], Awaitable[Json]]) -> Json:
        """What `work` returns, the registration's state at its end, once it is written down."""
        begin = asyncio.get_running_loop().time()
        state = await work()
        lasted = asyncio.get_running_loop().time() - begin
        if state["status"] == "assigned":
            self.note(registration_id, lasted=lasted)
        else:
            description = str(state.get("errorMessage", state["status"]))
            self.note(registration_id, str(state.get("errorCode", "")), description, lasted=lasted)
        return state

    def refused(self, registration_id: str, answer: str | None) -> None:
        """DPS did not know the device by its certificate; `answer` is what the device was told."""
        told = json.loads(answer or "{}")
        self.note(registration_id, str(told.get("errorCode", "")), told.get("message", "refused"))

    def note(self, registration_id: str, code: str = "", description: str = "", *, lasted: float = 0) -> None:
        record = {
            "time": self.world.clock.now().isoformat().replace("+00:00", "Z"),
            "resourceId": RESOURCE,
            "operationName": "AttestationAttempt",
            "operationVersion": "March2019",
            "category": "DeviceOperations",
            "level": "Error" if description else "Information",
            "resultType": "Failure" if description else "Success",
            "resultSignature": code,
            "resultDescription": description,
            "durationMs": f"{lasted * 1000:.0f}",
            "callerIpAddress": "127.0.0.XXX",
            "correlationId": str(uuid.uuid4()),
            "location": "sandbox",
            "properties": {"id": registration_id, "type": "Registration", "protocol": "Http"},
        }
        self.waiting.append(record)
        if self.sending is None or self.sending.done():
            self.sending = asyncio.get_running_loop().create_task(self.send_soon())

    async def send_soon(self) -> None:
        """Until nothing waits any more."""
        while self.waiting:
            await asyncio.sleep(self.delay)
            records, self.waiting = self.waiting, []
            if self.properties_as_text:
                records = [record | {"properties": json.dumps(record["properties"])} for record in records]
            outcome = await self.sent([{"records": records}])
            devices = [json.loads(as_text(record["properties"]))["id"] for record in records]
            self.world.journal.write("DPS", "diagnostics sent", devices=devices, outcome=outcome)

    async def sent(self, events: list[Json]) -> int | str:
        if self.reader is None:
            return "nobody reads them"
        url, headers = f"{self.reader.url}/{EVENT_HUB}", {"x-functions-key": self.reader.key}
        try:
            async with aiohttp.ClientSession() as session, session.post(url, json=events, headers=headers) as response:
                return response.status
        except aiohttp.ClientError as error:
            return type(error).__name__

    async def stop(self) -> None:
        if self.sending is not None:
            self.sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.sending


def as_text(properties: str | Json) -> str:
    return properties if isinstance(properties, str) else json.dumps(properties)
