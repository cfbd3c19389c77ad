"""HTTP functions: from a request on the wire to the datum that the worker gets, and back."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientPayloadError, web

from sandbox.host import paths
from sandbox.host.index import Datum, Function, Outcome, text
from sandbox.host.invoke import Invoker
from sandbox.host.keys import Keys
from sandbox.host.routes import Table, parse

log = logging.getLogger("sandbox.host")

BODY_LIMIT = 104_857_600  # host: Program.cs, FUNCTIONS_REQUEST_BODY_SIZE_LIMIT overrides it
FRONT_END_LIMIT = 230.0  # seconds; then the load balancer answers 502 while the function runs on


def table(functions: Mapping[str, Function], prefix: str) -> Table:
    """A route that is not given is the function's name, as azure-functions writes it into the record."""
    triggers = {name: function.trigger for name, function in functions.items()}
    return Table(prefix, [parse(name, t.get("route", name), t.get("methods", ())) for name, t in triggers.items()])


def presented_key(request: web.BaseRequest) -> str:
    """The header goes before the query (host: AuthenticationLevelHandler)."""
    header = request.headers.get("x-functions-key")
    return header if header is not None else request.query.get("code", "")


@dataclass(frozen=True)
class HttpFunctions:
    functions: Mapping[str, Function]
    routes: Table
    keys: Keys
    invoker: Invoker
    custom_headers: Mapping[str, str] = field(default_factory=dict)
    body_limit: int = BODY_LIMIT
    front_end_limit: float = FRONT_END_LIMIT
    running: set[asyncio.Task[Outcome]] = field(default_factory=set)

    async def answer(self, request: web.BaseRequest, path: str, query: str) -> web.Response:
        found = self.routes.match(request.method, path)
        if found is None:
            return web.Response(status=404)
        function, params = self.functions[found[0]], found[1]
        level = str(function.trigger.get("authLevel", "FUNCTION")).lower()
        if level != "anonymous" and not self.keys.open(level, presented_key(request), function.name):
            return web.Response(status=401)
        try:
            body = await read_body(request, self.body_limit)
        except web.HTTPRequestEntityTooLarge:
            refused = web.Response(status=413)
            refused.force_close()
            return refused
        except (ClientPayloadError, ConnectionError):
            return web.Response(status=400)
        datum = request_datum(request, path, query, params, body)
        trace_parent = request.headers.get("traceparent", "")
        task = asyncio.get_running_loop().create_task(self.invoker.run(function, datum, trace_parent=trace_parent))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        await asyncio.wait((task,), timeout=self.front_end_limit)
        if not task.done():
            log.error("'Functions.%s' takes longer than %s s: 502", function.name, self.front_end_limit)
            return web.Response(status=502)
        return self.response(function, task.result())

    def response(self, function: Function, outcome: Outcome) -> web.Response:
        answer = web.Response(status=500)
        if outcome.ok:
            try:
                answer = encoded(outcome.value)
            except ValueError as error:
                log.error("Executed 'Functions.%s' (Failed)\n%s", function.name, error)  # noqa: TRY400 - no traceback to show
        for name, value in self.custom_headers.items():
            answer.headers.setdefault(name, value)  # host: CustomHttpHeadersMiddleware uses TryAdd
        return answer


async def read_body(request: web.BaseRequest, limit: int) -> bytes:
    """The body, EMPTY unless `Content-Length` is above zero: a chunked body never reaches the worker.

    That is the real host (`request.ContentLength > 0` in GrpcMessageConversionExtensions; issue 7930). App Service's
    front end buffers chunked bodies and adds the length; a host that is reached without it does not.
    """
    length = request.content_length
    if not length:
        return b""
    if length > limit:
        raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=length)
    if request.headers.get("expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    return await request.read()


def request_datum(request: web.BaseRequest, path: str, query: str, params: Mapping[str, str], body: bytes) -> Any:  # noqa: ANN401 - a Datum, which carries no types
    """host: GrpcMessageConversionExtensions.ToRpcHttp."""
    headers: dict[str, str] = {}
    for name, given in request.headers.items():
        folded = name.lower()
        headers[folded] = f"{headers[folded]},{given}" if folded in headers else given
    scheme = headers.get("x-forwarded-proto", "http")  # App Service's front end sets it, and nobody else can
    value = {
        "method": text(request.method),
        "url": text(paths.url(scheme, headers.get("host", ""), path, query)),
        "headers": {name: text(value) for name, value in headers.items()},
        "params": {name: text(value) for name, value in params.items()},
        "query": {name: text(value) for name, value in paths.query_values(query).items()},
        "body": Datum(body, "bytes"),
    }
    return Datum(value, "http")


def encoded(datum: Any) -> web.Response:  # noqa: ANN401 - a Datum, which carries no types
    """What `$return` says. Header names keep the case in which the function set them."""
    if datum is not None and datum.type == "string":
        return web.Response(text=datum.value)
    if datum is None or datum.type != "http":
        raise ValueError(f"an HTTP function returned {datum!r}")
    value = datum.value
    headers = {name: header.value for name, header in value["headers"].items()}
    for name, given in headers.items():
        if not (given.isascii() and given.isprintable()):  # Kestrel throws: "Invalid non-ASCII or control character"
            raise ValueError(f"the header {name} of the answer holds a control or non-ASCII character")
    answer = web.Response(
        status=int(value["status_code"].value),
        headers=headers,
        body=value["body"].value,
    )
    for cookie in value["cookies"] or ():
        for morsel in cookie.values():
            answer.headers.add("Set-Cookie", morsel.OutputString())
    if answer.status in {204, 205, 304}:
        answer.body = None
    return answer
