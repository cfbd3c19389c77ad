"""The host's own endpoints under /admin, opened by the master key (host: FunctionsController, HostController).

learn.microsoft.com/azure/azure-functions/functions-manually-run-non-http
"""

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from sandbox.host import queue_messages
from sandbox.host.clock import Clock
from sandbox.host.event_hubs import EventHubs
from sandbox.host.http import presented_key, read_body
from sandbox.host.index import Datum, Function, text
from sandbox.host.invoke import Invoker
from sandbox.host.keys import Keys
from sandbox.host.timers import Timer

BODY_LIMIT = 1024 * 1024


@dataclass(frozen=True)
class Admin:
    functions: Mapping[str, Function]
    timers: Mapping[str, Timer]
    event_hubs: EventHubs
    keys: Keys
    invoker: Invoker
    clock: Clock
    running: set[asyncio.Task[Any]] = field(default_factory=set)

    async def answer(self, request: web.BaseRequest, path: str) -> web.Response:
        if not self.keys.open("admin", presented_key(request)):
            return web.Response(status=401)
        if request.method == "GET" and path.lower() == "/admin/host/status":
            return web.json_response({"id": "sandbox", "state": "Running", "version": "4.0.0.0", "errors": []})
        if request.method == "GET" and path.lower() == "/admin/functions":
            return web.json_response([shown(function) for function in self.functions.values()])
        prefix, _, name = path.rpartition("/")
        if request.method == "POST" and prefix.lower() == "/admin/eventhubs":
            return await self.event_hubs.answer(request, name)
        if request.method != "POST" or prefix.lower() != "/admin/functions":
            return web.Response(status=501, text=f"the sandbox does not know {request.method} {path}")
        function = next((f for f in self.functions.values() if f.name.lower() == name.lower()), None)
        if function is None:
            return web.Response(status=404)
        try:
            given = json.loads(await read_body(request, BODY_LIMIT) or b"{}").get("input", "")
        except (ValueError, AttributeError):
            return web.Response(status=400, text='the body is not {"input": "…"}')
        return self._start(function, given if isinstance(given, str) else json.dumps(given))

    def _start(self, function: Function, given: str) -> web.Response:
        """202 at once, as the real host answers; what becomes of the run is in the log."""
        match function.trigger["type"].lower():
            case "timertrigger":
                run = self.timers[function.name].fire(past_due=False)
            case "queuetrigger":
                metadata = queue_messages.made_up_metadata(str(uuid.uuid4()), self.clock.now())
                run = self.invoker.run(function, text(given), metadata)
            case "eventgridtrigger":
                run = self.invoker.run(function, Datum(given, "json"))
            case kind:
                return web.Response(status=501, text=f"the sandbox runs no {kind} from here")
        task = asyncio.get_running_loop().create_task(run)
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return web.Response(status=202)


def shown(function: Function) -> dict[str, Any]:
    """As far as the sandbox needs it (host: FunctionMetadataResponse)."""
    return {"name": function.name, "config": {"bindings": [function.trigger, *function.outputs.values()]}}
