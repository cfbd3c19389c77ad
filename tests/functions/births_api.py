"""A factory or an operator at the routes of other births, who holds each answer against the OpenAPI document."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlsplit

import azure.functions as func

from functions import batches, certificates, devices
from shared.flows.application import Application
from tests.fakes.world import PROFILE, Fakes, fakes
from tests.functions.calling import Message, context, handler
from tests.functions.ops_api import DOCUMENT
from tests.functions.schema import faults

JSON: Final = {"Content-Type": "application/json"}
LABEL: Final = PROFILE.label
BATCHES: Final = f"/api/batches?label={LABEL}"
_MODULES: Final = (batches, certificates, devices)


class Factory:
    """One world, and one loop for all requests of a test."""

    def __init__(self, runner: asyncio.Runner, world: Fakes | None = None) -> None:
        passcodes = replace(PROFILE.authentication, one_time_passcodes=True)
        self.world = world or fakes(passcodes)
        self.signs_in = False
        self.run = runner.run
        app = func.FunctionApp()
        for module in _MODULES:
            app.register_functions(module.blueprint(self.application))
        self.routes: dict[tuple[str, str], Any] = {}
        for one in app.get_functions():
            trigger: dict[str, Any] = cast("Any", one.get_trigger()).get_dict_repr()
            for method in trigger.get("methods", ()):
                self.routes[method.name, f"/{trigger['route']}"] = one.get_user_function()

    def application(self) -> Application:
        return replace(self.world.application(), platform_authenticates=self.signs_in)

    def get(self, url: str) -> func.HttpResponse:
        return self.send("GET", url)

    def post(self, url: str, content: object = None, key: str = "k1") -> func.HttpResponse:
        body = json.dumps({} if content is None else content).encode()
        return self.send("POST", url, body, {**JSON, "Idempotency-Key": key})

    def upload(self, body: bytes, media: str = "application/jsonl", key: str = "k1", url: str = BATCHES) -> Any:  # noqa: ANN401
        return self.send("POST", url, body, {"Content-Type": media, "Idempotency-Key": key})

    def send(
        self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> func.HttpResponse:
        """As the host would route it."""
        parts = urlsplit(url)
        template, names = self._routed(method, parts.path)
        request = func.HttpRequest(
            method,
            f"https://app{parts.path}",
            headers=dict(headers or {}),
            params=dict(parse_qsl(parts.query, keep_blank_values=True)),
            route_params=names,
            body=body,
        )
        response: func.HttpResponse = self.run(self.routes[method, template](request, context()))
        check(response, DOCUMENT["paths"][template][method.lower()])
        return response

    def _routed(self, method: str, path: str) -> tuple[str, dict[str, str]]:
        for _, template in sorted((one for one in self.routes if one[0] == method), key=lambda one: one[1].count("{")):
            pairs = list(zip(template.split("/"), path.split("/"), strict=False))
            if template.count("/") == path.count("/") and all(a == b or a.startswith("{") for a, b in pairs):
                return template, {a.strip("{}"): b for a, b in pairs if a.startswith("{")}
        raise LookupError(path)

    def work(self) -> None:
        """The queue's messages, until there are none."""
        go_on = handler(batches.blueprint, self.application, "batch")
        while messages := self.world.work.take("batch"):
            for message in messages:
                self.run(self._later(message.delay))
                self.run(go_on(Message(json.dumps({"batch": message.batch}))))

    async def _later(self, seconds: int) -> None:
        await asyncio.sleep(seconds)


def check(response: func.HttpResponse, described: Mapping[str, Any]) -> None:
    """The answer is one of those that the document describes, in the form that it describes."""
    answer = described["responses"][str(response.status_code)]
    content = answer["content"][response.headers["Content-Type"]]
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Length"] == str(len(response.get_body()))
    if content["schema"].get("format") != "binary":
        assert not list(faults(DOCUMENT, content["schema"], json.loads(response.get_body())))
    assert answer.get("headers", {}).keys() - {"Link"} <= dict(response.headers).keys()
