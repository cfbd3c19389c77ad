"""The webhook, the events, the queue and the health page: thin, and loud where a message must come again."""

import asyncio
import json
from typing import Any

import pytest

from functions import allocation, health, work
from shared.core.errors import Misconfigured, Unavailable
from shared.flows.application import Application
from tests.fakes.world import Fakes, fakes
from tests.functions.calling import Message, context, handler, http


def born(world: Fakes) -> Fakes:
    asyncio.run(world.birth(world.device()))
    return world


def registration(**changes: Any) -> bytes:  # noqa: ANN401
    document = {
        "enrollmentGroup": {"enrollmentGroupId": "birthcert"},
        "deviceRuntimeContext": {"registrationId": "dev-1", "x509": {}},
        "linkedHubs": ["hub-a.azure-devices.net", "hub-b.azure-devices.net"],
    }
    return json.dumps({**document, **changes}).encode()


def allocate(world: Fakes, body: bytes) -> Any:  # noqa: ANN401
    serve = handler(allocation.blueprint, world.application, "allocation")
    return asyncio.run(serve(http("POST", "/api/allocation", body), context()))


def test_dps_is_told_a_linked_hub() -> None:
    response = allocate(born(fakes()), registration())
    assert response.status_code == 200
    answer = json.loads(response.get_body())
    assert answer["iotHubHostName"] in ("hub-a.azure-devices.net", "hub-b.azure-devices.net")
    assert answer["initialTwin"]["tags"]["certificate"]["profile"] == "devices"


def test_who_is_refused_is_told_why() -> None:
    world = fakes(unknown_devices="manifest")
    refused = allocate(world, registration())
    assert refused.status_code == 403
    assert "not on the manifest" in refused.get_body().decode()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", registration(linkedHubs=None), registration(linkedHubs=7)])
def test_what_is_no_allocation_request_is_400(body: bytes) -> None:
    assert allocate(fakes(), body).status_code == 400


def test_without_a_linked_hub_of_the_profile_the_registration_fails() -> None:
    assert allocate(fakes(), registration(linkedHubs=["other.azure-devices.net"])).status_code == 503


@pytest.mark.parametrize("content", ["", "{", "[]", '{"label": "devices"}'])
def test_a_message_that_cannot_be_read_ends_in_the_poison_queue(content: str) -> None:
    settle = handler(work.blueprint, fakes().application, "settle")
    with pytest.raises((ValueError, KeyError, TypeError)):
        asyncio.run(settle(Message(content)))


def test_a_message_for_a_device_that_is_gone_is_done() -> None:
    settle = handler(work.blueprint, fakes().application, "settle")
    asyncio.run(settle(Message('{"deviceId": "dev-9", "label": "devices"}')))


def ask(application: Any, name: str) -> Any:  # noqa: ANN401
    serve = handler(health.blueprint, application, name)
    return asyncio.run(serve(http("GET", f"/{name}")))


def test_the_process_is_alive_whatever_else_is_not() -> None:
    def application() -> Application:
        raise Misconfigured("the service is not set up correctly", cause="DPS_HOST: must be set")

    assert ask(application, "healthz").status_code == 200
    ready = ask(application, "readyz")
    assert ready.status_code == 503
    assert json.loads(ready.get_body()) == {"ready": False, "not_answering": ["configuration"]}
    assert "DPS_HOST" in ask(application, "readyz_details").get_body().decode()


def test_what_does_not_answer_is_named_and_the_cause_is_kept_for_who_has_a_key() -> None:
    world = fakes()
    world.calls.fail("ledger.load", lambda: Unavailable("down", retry_after=1, cause="connection refused"), times=2)
    assert json.loads(ask(world.application, "readyz").get_body()) == {"ready": False, "not_answering": ["ledger"]}
    details = json.loads(ask(world.application, "readyz_details").get_body())
    assert details["not_answering"] == {"ledger": "connection refused"}
    assert ask(world.application, "readyz").status_code == 200
