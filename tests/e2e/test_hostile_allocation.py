"""The allocation webhook, which is for DPS alone: whoever else finds it learns nothing."""

import json

import pytest

from tests.e2e.est import Site, refused
from tests.e2e.wire import Answer

GOOD = {
    "enrollmentGroup": {"enrollmentGroupId": "birthcert"},
    "deviceRuntimeContext": {"registrationId": "hostile-device"},
    "linkedHubs": ["localhost:9445", "127.0.0.1:9445"],
}


def allocate(site: Site, body: bytes, key: str | None = None) -> Answer:
    headers = [("Content-Type", "application/json")]
    headers.append(("x-functions-key", site.secret("function-key") if key is None else key))
    return site.call("POST", "/api/allocation", body, headers)


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()


def named(registration_id: object) -> bytes:
    return json.dumps(GOOD | {"deviceRuntimeContext": {"registrationId": registration_id}}).encode()


def test_dps_gets_a_hub_also_for_a_device_that_nobody_knows(site: Site) -> None:
    answer = allocate(site, json.dumps(GOOD).encode())
    assert answer.status == 200
    assert json.loads(answer.body)["iotHubHostName"] in GOOD["linkedHubs"]


@pytest.mark.parametrize("key", ["", "guessed", "\xe9"])
def test_without_the_key_there_is_no_answer(site: Site, key: str) -> None:
    assert allocate(site, json.dumps(GOOD).encode(), key).status == 401


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="no JSON"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[" * 100_000, id="deep nesting"),
        pytest.param(without("deviceRuntimeContext"), id="no device"),
        pytest.param(without("linkedHubs"), id="no hubs"),
        pytest.param(json.dumps(GOOD | {"linkedHubs": 7}).encode(), id="a number of hubs"),
        pytest.param(named(7), id="a number for a name"),
    ],
)
def test_a_request_that_dps_would_not_send_is_malformed(site: Site, body: bytes) -> None:
    refused(allocate(site, body), 400, "no allocation request")


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "a" * 65, "a."], ids=repr)
def test_a_name_that_no_device_can_have_is_malformed(site: Site, name: str) -> None:
    refused(allocate(site, named(name)), 400, "the device id must be")


def test_hubs_that_are_not_ours_are_not_chosen(site: Site) -> None:
    foreign = json.dumps(GOOD | {"linkedHubs": ["hub.example"]}).encode()
    answer = allocate(site, foreign)
    assert answer.status == 503
    assert "hub.example" not in answer.text
