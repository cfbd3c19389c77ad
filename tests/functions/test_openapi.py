"""docs/openapi.json: the document that is served, of every route and no other."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, cast

import azure.functions as func
import pytest

from functions import adoption, batches, certificates, devices, ops
from tests.conftest import REPOSITORY
from tests.fakes.clock import IdleLoop
from tests.functions.ops_api import DOCUMENT, Api, read


@pytest.fixture
def api() -> Iterator[Api]:
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        yield Api(runner)


def test_the_document_that_people_read_is_the_one_that_is_served(api: Api) -> None:
    """Run `python -m functions.openapi > docs/openapi.json` after a change."""
    written = json.loads((REPOSITORY / "docs" / "openapi.json").read_text())
    assert read(api.get("/api/openapi.json")) == written


def test_the_document_describes_every_route_and_no_other(api: Api) -> None:
    app = func.FunctionApp()
    for module in (adoption, batches, certificates, devices, ops):
        app.register_functions(module.blueprint(api.application))
    every: list[dict[str, Any]] = [cast("Any", one.get_trigger()).get_dict_repr() for one in app.get_functions()]
    triggers = [one for one in every if "route" in one]
    assert {one["authLevel"] for one in triggers} == {func.AuthLevel.FUNCTION}
    routes = {(f"/{one['route']}", method.name.lower()) for one in triggers for method in one["methods"]}
    assert routes == {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}


def test_every_reference_of_the_document_leads_somewhere() -> None:
    used = {part.split('"')[0] for part in json.dumps(DOCUMENT).split("#/components/schemas/")[1:]}
    assert used == DOCUMENT["components"]["schemas"].keys()
