"""Whether the app lives, whether it can work, and which neighbour is missing; the reasons are for who has a key."""

import json
import time
from typing import Any

import pytest

from tests.e2e.est import Site, eventually
from tests.e2e.wire import Answer

REPORTS_ARE_KEPT = 5.0


def ready(answer: Answer) -> dict[str, Any]:
    assert answer.header("Content-Type") == "application/json"
    assert answer.header("Cache-Control") == "no-store"
    content: dict[str, Any] = json.loads(answer.body)
    assert content.keys() == {"ready", "not_answering"}
    assert (answer.status == 200) == content["ready"] == (not content["not_answering"])
    assert answer.status in {200, 503}
    return content


def details(site: Site, key: str) -> Answer:
    return site.call("GET", "/api/readyz", headers=[("x-functions-key", key)])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_healthz_says_that_the_process_lives(site: Site, method: str) -> None:
    answer = site.call(method, "/healthz")
    assert (answer.status, answer.body) == (200, b"ok\n" if method == "GET" else b"")
    assert answer.header("Content-Length") == "3"
    assert answer.header("Cache-Control") == "no-store"


def test_readyz_is_content_when_everything_answers(site: Site) -> None:
    assert eventually(lambda: ready(site.call("GET", "/readyz"))["ready"])
    assert ready(site.call("GET", "/readyz")) == {"ready": True, "not_answering": []}
    assert site.call("HEAD", "/readyz").status == 200


def test_what_is_down_is_named_to_anybody_and_explained_to_who_has_a_key(site: Site) -> None:
    assert eventually(lambda: ready(site.call("GET", "/readyz"))["ready"])
    site.sandbox.fault("DPS", "status", times=1000, status=503, headers={"Retry-After": "30"})
    site.sandbox.fault("Key Vault", "status", times=1000, status=503)
    key = site.secret("function-key")
    try:
        assert eventually(lambda: not ready(site.call("GET", "/readyz"))["ready"])
        assert site.call("GET", "/healthz").status == 200, "the process lives all the same"
        answer = site.call("GET", "/readyz")
        assert ready(answer)["not_answering"] == ["dps", "key_vault"]
        assert set(answer.text) <= set('{}[]":, abcdefghijklmnopqrstuvwxyz_')
        explained = ready(details(site, key))["not_answering"]
        assert explained.keys() == {"dps", "key_vault"}
        assert explained["dps"].endswith(("503", "open")), "its circuit, when others have asked it too"
        assert "Key Vault" in explained["key_vault"]
        assert key not in json.dumps(explained)
    finally:
        site.sandbox.control("DELETE", "/faults")
    assert eventually(lambda: ready(site.call("GET", "/readyz"))["ready"], REPORTS_ARE_KEPT + 25)


@pytest.mark.parametrize("key", ["", "guessed"])
def test_details_need_a_key(site: Site, key: str) -> None:
    assert details(site, key).status == 401
    assert details(site, key).body == b""
    assert site.call("GET", f"/api/readyz?code={key}").status == 401


def test_asking_often_costs_the_neighbours_nothing(site: Site) -> None:
    site.call("GET", "/readyz")
    mark, began = site.sandbox.mark(), time.monotonic()
    for _ in range(20):
        assert site.call("GET", "/readyz").status == 200
    seconds = time.monotonic() - began
    asked = [entry for entry in site.sandbox.journal(mark) if "birthcert-readiness" in entry.get("path", "")]
    dps = [entry for entry in asked if entry["service"] == "DPS"]
    assert len(dps) <= 1 + seconds / REPORTS_ARE_KEPT
