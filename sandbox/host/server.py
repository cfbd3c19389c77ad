"""Puts the host together: an indexed app, its HTTP server, its queue listeners and its timers."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from sandbox import ports
from sandbox.host import event_grid, http, index, paths
from sandbox.host.admin import Admin
from sandbox.host.clock import Clock
from sandbox.host.event_grid import EventGridWebhook
from sandbox.host.event_hubs import EventHubs
from sandbox.host.host_json import HostJson
from sandbox.host.http import HttpFunctions
from sandbox.host.index import Function
from sandbox.host.invoke import Invoker
from sandbox.host.keys import Keys
from sandbox.host.queues import Listener, Storage
from sandbox.host.settings import resolved
from sandbox.host.timers import Timer, schedule

log = logging.getLogger("sandbox.host")

_TRIGGERS = {"httptrigger", "eventgridtrigger", "eventhubtrigger", "queuetrigger", "timertrigger"}
_HEADERS_LIMIT = 32_768  # Kestrel: MaxRequestHeadersTotalSize
_LINE_LIMIT = 8_192  # Kestrel: MaxRequestLineSize


@dataclass
class Host:
    functions: list[Function]
    http: HttpFunctions
    webhook: EventGridWebhook
    admin: Admin
    storage: Storage
    listeners: list[Listener]
    timers: list[Timer]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    runner: web.ServerRunner | None = None

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await self._answer(request)
        # Kestrel's name; without it aiohttp would put its own there.
        response.headers.setdefault("Server", "Kestrel")
        return response

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        raw_path, query = paths.split(request.raw_path)
        try:
            path = paths.decoded(raw_path)
        except paths.BadTargetError:
            return web.Response(status=400)
        folded = path.lower()
        # Neither can be taken by a function (ext: WebJobsRouter).
        if folded.startswith("/admin/"):
            return await self.admin.answer(request, path)
        if folded == event_grid.PATH:
            return await self.webhook.answer(request)
        return await self.http.answer(request, path, query)

    async def start(self, port: int) -> int:
        limit = self.http.body_limit + 1

        def request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:  # noqa: ANN401 - aiohttp's own
            loop = asyncio.get_running_loop()
            return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=limit)

        server = web.Server(
            self.answer,
            request_factory=request,
            access_log=None,
            auto_decompress=False,  # the worker gets the bytes that came
            max_line_size=_LINE_LIMIT,
            max_field_size=_HEADERS_LIMIT,
        )
        self.runner = web.ServerRunner(server, shutdown_timeout=1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, ports.LOOPBACK, port)
        await site.start()
        background: list[Listener | Timer] = [*self.listeners, *self.timers]
        self.tasks.extend(asyncio.create_task(_alive(runs)) for runs in background)
        return int(self.runner.addresses[0][1])

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
        ongoing: list[asyncio.Task[Any]] = [*self.tasks, *self.http.running, *self.admin.running]
        ongoing += self.admin.event_hubs.running
        for task in ongoing:
            task.cancel()
        await asyncio.gather(*ongoing, return_exceptions=True)
        await self.storage.close()


async def _alive(runs: Listener | Timer) -> None:
    """A listener that dies is the host's own fault; the log must say so."""
    try:
        await runs.run()
    except Exception:
        log.exception("the listener of %s died", runs.function.name)
        raise


def build(indexed: list[Function], options: HostJson, keys: Keys, clock: Clock, settings: Mapping[str, str]) -> Host:
    functions = [resolved(function, settings) for function in indexed]
    storage = Storage(settings, options.queues)
    invoker = Invoker(options.function_timeout, storage.send)
    by_type = {kind: {f.name: f for f in functions if _kind(f) == kind} for kind in _TRIGGERS}
    for function in functions:
        _check(function)
    timers = {f.name: _timer(f, invoker, clock) for f in by_type["timertrigger"].values()}
    listeners = [Listener(f, storage, options.queues, invoker) for f in by_type["queuetrigger"].values()]
    for listener in listeners:
        storage.queue(listener.function.trigger.get("connection", ""), listener.function.trigger["queueName"])
    http_functions = HttpFunctions(
        by_type["httptrigger"],
        http.table(by_type["httptrigger"], options.route_prefix),
        keys,
        invoker,
        options.custom_headers,
        int(settings.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", http.BODY_LIMIT)),
    )
    webhook = EventGridWebhook(by_type["eventgridtrigger"], keys, invoker)
    event_hubs = EventHubs(by_type["eventhubtrigger"], invoker, clock, options.event_hub_batch)
    admin = Admin({f.name: f for f in functions}, timers, event_hubs, keys, invoker, clock)
    return Host(functions, http_functions, webhook, admin, storage, listeners, list(timers.values()))


def _kind(function: Function) -> str:
    return str(function.trigger["type"]).lower()


def _check(function: Function) -> None:
    if _kind(function) not in _TRIGGERS:
        log.warning("%s (%s) is not run here", function.name, function.trigger["type"])
    if str(function.trigger.get("authLevel", "function")).lower() not in {"anonymous", "function", "admin"}:
        raise index.IndexingError(f"{function.name}: authLevel {function.trigger['authLevel']} is unknown")
    for output in function.outputs.values():
        if output["type"] not in {"http", "queue"}:
            raise index.IndexingError(f"{function.name}: the output {output['type']} is not played in the sandbox")


def _timer(function: Function, invoker: Invoker, clock: Clock) -> Timer:
    try:
        return Timer(function, schedule(function.trigger["schedule"]), invoker, clock)
    except ValueError as error:
        raise index.IndexingError(f"{function.name}: {error}") from error
