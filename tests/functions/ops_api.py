"""A caller of the operators' API, who holds each answer against the OpenAPI document."""

import asyncio
import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import azure.functions as func
import pytest

from functions import openapi, ops
from shared.core.fleet import Device
from shared.flows.application import Application
from tests.fakes.ops import OpsWorld
from tests.functions.calling import REQUEST_ID, context, handler
from tests.functions.schema import faults

JSON = {"Content-Type": "application/json"}
DOCUMENT = cast("dict[str, Any]", openapi.document())


class Api:
    """One world, and one loop for all requests of a test."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.world = OpsWorld()
        self.signs_in = False
        self._runner = runner

    def application(self) -> Application:
        parts = SimpleNamespace(
            operate=self.world.operate, survey=self.world.survey, platform_authenticates=self.signs_in
        )
        return cast("Application", parts)

    def born(self, name: str = "dev-1", *serials: str) -> Device:
        return self._runner.run(self.world.born(name, *serials))

    def get(self, url: str) -> func.HttpResponse:
        return self.send("GET", url, b"", {})

    def post(self, url: str, content: object = None, key: str = "k1", **headers: str) -> func.HttpResponse:
        given = {**JSON, "Idempotency-Key": key, **{name.replace("_", "-"): text for name, text in headers.items()}}
        return self.send("POST", url, json.dumps({} if content is None else content).encode(), given)

    def send(
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        application: Callable[[], Application] | None = None,
    ) -> func.HttpResponse:
        """As the host would route it; each answer is held against the OpenAPI document."""
        path, params, template = _routed(url)
        name = f"ops_{DOCUMENT['paths'][template][method.lower()]['operationId']}"
        parts = urlsplit(url)
        query = dict(one.split("=", 1) for one in parts.query.split("&") if one)
        request = func.HttpRequest(
            method, f"https://app{path}", headers=headers, params=query, route_params=params, body=body
        )
        serve = handler(ops.blueprint, application or self.application, name)
        response: func.HttpResponse = self._runner.run(serve(request, context()))
        check(response, DOCUMENT["paths"][template][method.lower()])
        return response


def _routed(url: str) -> tuple[str, dict[str, str], str]:
    path = urlsplit(url).path
    for template in sorted(DOCUMENT["paths"], key=lambda one: one.count("{")):
        pairs = list(zip(template.split("/"), path.split("/"), strict=False))
        if template.count("/") == path.count("/") and all(a == b or a.startswith("{") for a, b in pairs):
            return path, {a.strip("{}"): b for a, b in pairs if a.startswith("{")}, template
    raise LookupError(url)


def check(response: func.HttpResponse, described: Mapping[str, Any]) -> None:
    """The answer is one of those that the document describes, in the form that it describes."""
    answer = described["responses"][str(response.status_code)]
    (media, content), *_ = answer["content"].items()
    assert response.headers["Content-Type"] == media
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Length"] == str(len(response.get_body()))
    assert not list(faults(DOCUMENT, content["schema"], read(response)))
    assert answer.get("headers", {}).keys() <= dict(response.headers).keys()


def read(response: func.HttpResponse) -> Any:  # noqa: ANN401 - JSON
    return json.loads(response.get_body())


def problem(response: func.HttpResponse) -> tuple[int, str, str]:
    found = read(response)
    assert found["status"] == response.status_code
    assert found["instance"] == f"urn:uuid:{REQUEST_ID}"
    return response.status_code, found["type"].removeprefix("urn:birthcert:problem:"), found["detail"]


def last(records: pytest.LogCaptureFixture) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(records.records[-1].getMessage())
    return record
