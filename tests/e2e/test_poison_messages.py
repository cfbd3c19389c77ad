"""What no handler could take is kept, alarmed and counted, and done once its cause is gone and it is replayed."""

from functools import partial

import pytest

from sandbox.device import Identity
from tests.e2e.est import Site, eventually, leaf
from tests.e2e.living import living, register
from tests.e2e.operators import Operator, problem, read
from tests.e2e.portal import Portal

# The host's own number (host.json, maxDequeueCount).
ATTEMPTS = 5

pytestmark = pytest.mark.usefixtures("no_poison")


def replay(operator: Operator, queue: str, key: str, limit: int = 100) -> int:
    answer = operator.post(f"/api/poison/{queue}/replay", {"limit": limit, "comment": "mended"}, key=key)
    assert answer.status == 200, answer.text
    return int(read(answer)["replayed"])


def test_an_event_that_met_a_hub_without_our_role_is_handled_after_a_replay(
    operator: Operator, portal: Portal, site: Site
) -> None:
    """403 is no fault that passes by itself: Event Grid is told that the event was taken, and it is kept."""
    newborn = site.newborn("poison-event")
    identity = Identity(newborn.key, (leaf(newborn.ask()),))
    site.sandbox.fault("IoT Hub", "status", method="GET", path="/devices/poison-event", times=1000, status=403)
    hub = register(site, identity).hub
    assert eventually(lambda: portal.waiting("hub-events-poison"))
    (kept,) = portal.waiting("hub-events-poison")
    assert (kept["type"], kept["data"]["deviceId"]) == ("Microsoft.Devices.DeviceCreated", "poison-event")
    (alarm,) = portal.log("hub_event_poison", event_id=kept["id"])
    assert (alarm["queue"], alarm["kind"]) == ("hub-events-poison", kept["type"])
    assert "403" in alarm["cause"]
    assert operator.poison("hub-events") == 1
    deliveries = [one for one in site.sandbox.journal() if one["event"] == "event delivery" and one["id"] == kept["id"]]
    assert [(one["attempt"], one["outcome"]) for one in deliveries] == [(1, 202)]
    assert operator.device("poison-event")["hub"] is None

    site.sandbox.control("DELETE", "/faults")
    assert replay(operator, "hub-events", "event-replay") == 1
    assert eventually(lambda: portal.log("hub_event", event_id=kept["id"], outcome="Done"))
    assert operator.device("poison-event")["hub"] is not None
    assert eventually(lambda: operator.device("poison-event")["rotation"]["state"] == "settled")
    assert portal.identity(hub, "poison-event") is not None
    assert operator.poison("hub-events") == 0


def aged(portal: Portal, queue: str, message: str) -> bool:
    """A message at its last attempt: it was taken and given back as often as the host allows, less one.

    False when the host was quicker once; that message would come again after half a minute.
    """
    with portal.queue(queue) as client:
        client.send_message(message)
        for _ in range(ATTEMPTS - 1):
            taken = client.receive_message(visibility_timeout=30)
            if taken is None:
                return False
            client.update_message(taken, visibility_timeout=0)
    return True


def test_a_message_that_no_attempt_could_take_is_done_after_a_replay(
    operator: Operator, portal: Portal, site: Site
) -> None:
    device = living(operator, "poison-nudge")
    site.sandbox.fault("IoT Hub", "status", path=f"/twins/{device.name}", times=1000, status=503)
    text = f'{{"deviceId": "{device.name}", "serial": "{device.serial}", "day": "2026-01-01"}}'
    assert any(aged(portal, "nudge", text) for _ in range(20))
    assert eventually(lambda: operator.poison("nudge") == 1)
    log = (site.sandbox.state / "logs" / "host.log").read_text()
    assert f"of nudge failed {ATTEMPTS} times: to nudge-poison" in log
    (kept,) = portal.waiting("nudge-poison")
    assert kept["deviceId"] == device.name
    assert operator.device(device.name)["nudges"]["count"] == 0

    site.sandbox.control("DELETE", "/faults")
    again = partial(replay, operator, "nudge", "nudge-replay")
    assert again() == 1
    assert eventually(lambda: operator.device(device.name)["nudges"]["count"] == 1)
    assert portal.twin(device.hub, device.name)["properties"]["desired"]["certificate"]["renew"] == device.serial
    assert operator.poison("nudge") == 0
    assert again() == 1, "the same wish has the same answer, and replays nothing more"


def test_a_message_that_is_no_message_comes_back_and_the_others_go_their_way(
    operator: Operator, portal: Portal
) -> None:
    """Replayed without being mended: nothing is lost, and nobody is held up."""
    device = living(operator, "poison-neighbour")
    with portal.queue("nudge", encoded=False) as queue:
        queue.send_message("not base64")
    assert eventually(lambda: operator.poison("nudge") == 1)
    assert replay(operator, "nudge", "odd-replay") == 1
    assert operator.post(f"/api/devices/{device.name}/renew").status == 202
    assert eventually(lambda: operator.device(device.name)["nudges"]["count"] == 1)
    assert eventually(lambda: operator.poison("nudge") == 1)


def test_a_replay_takes_no_more_than_was_asked_for(operator: Operator, portal: Portal) -> None:
    unknown = '{"deviceId": "poison-unknown", "serial": "0a", "day": "2026-01-01"}'
    portal.put("nudge-poison", unknown, unknown, unknown)
    assert operator.poison("nudge") == 3
    assert replay(operator, "nudge", "two", limit=2) == 2
    assert operator.poison("nudge") == 1
    assert replay(operator, "nudge", "two", limit=2) == 2
    assert operator.poison("nudge") == 1, "that was the same wish"
    status, kind, detail = problem(operator.post("/api/poison/nudge/replay", {"limit": 3}, key="two"))
    assert (status, kind) == (409, "Conflict")
    assert "Idempotency-Key" in detail
    assert eventually(lambda: len(portal.log("nudge", device_id="poison-unknown", outcome="unknown")) == 2)


def test_no_such_queue(operator: Operator) -> None:
    assert problem(operator.post("/api/poison/nothing/replay"))[:2] == (404, "NotFound")
    assert problem(operator.post("/api/poison/nudge/replay", {"limit": 0}))[:2] == (400, "Malformed")
