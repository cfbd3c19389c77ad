"""The Event Grid webhook, `/runtime/webhooks/eventgrid`.

sdk: Microsoft.Azure.WebJobs.Extensions.EventGrid, EventGridExtensionConfigProvider and HttpRequestProcessor.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sandbox.host.http import presented_key, read_body
from sandbox.host.index import Datum, Function
from sandbox.host.invoke import Invoker
from sandbox.host.keys import Keys

PATH = "/runtime/webhooks/eventgrid"
BODY_LIMIT = 2 * 1024 * 1024  # Event Grid delivers at most 1 MB at a time (learn: event-grid/quotas-limits)


@dataclass(frozen=True)
class EventGridWebhook:
    functions: Mapping[str, Function]
    keys: Keys
    invoker: Invoker

    async def answer(self, request: web.BaseRequest) -> web.Response:
        if request.method == "OPTIONS":
            return abuse_protection(request)
        if request.method != "POST":
            return web.Response(status=404)
        if not self.keys.open("event_grid", presented_key(request)):
            return web.Response(status=401)
        name = request.query.get("functionName", "")
        function = self.functions.get(name)
        if function is None:
            return web.Response(status=404, text=f"cannot find function: '{name}'")
        kind = request.headers.get("aeg-event-type", "").lower()
        if kind == "unsubscribe":
            return web.Response(status=202)
        try:
            given = json.loads(await read_body(request, BODY_LIMIT))
            if kind == "subscriptionvalidation":
                return web.json_response({"validationResponse": validation_code(given)})
        except (ValueError, KeyError, TypeError, IndexError):
            return web.Response(status=400, text="the body is not what Event Grid sends")
        if kind != "notification":
            return web.Response(status=400, text="aeg-event-type is missing or unknown")
        return await self._deliver(function, given if isinstance(given, list) else [given])

    async def _deliver(self, function: Function, events: list[Any]) -> web.Response:
        """One invocation per event, at the same time; one failure makes Event Grid send all of them again."""
        runs = [self.invoker.run(function, Datum(json.dumps(event), "json")) for event in events]
        outcomes = await asyncio.gather(*runs)
        failed = [outcome for outcome in outcomes if not outcome.ok]
        return web.Response(status=500 if failed else 202)


def validation_code(given: Any) -> str:  # noqa: ANN401 - JSON
    """Event Grid schema: an array. CloudEvents: one object whose data is JSON in a string."""
    event = given[0] if isinstance(given, list) else given
    data = event["data"]
    return str((json.loads(data) if isinstance(data, str) else data)["validationCode"])


def abuse_protection(request: web.BaseRequest) -> web.Response:
    """The handshake of CloudEvents webhooks (cloudevents/spec: http-webhook section 4); it carries no key."""
    origin = request.headers.get("webhook-request-origin")
    if not origin:
        return web.Response(status=400)
    return web.Response(headers={"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*", "Allow": "POST"})
