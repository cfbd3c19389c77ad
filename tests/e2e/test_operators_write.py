"""Writes of operators: done once for each key however often they are sent, and refused when they are not understood."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from sandbox.connected import Connected
from sandbox.device import Identity
from tests.e2e import wire
from tests.e2e.est import Site, eventually
from tests.e2e.living import Living, living
from tests.e2e.operators import JSON, Operator, problem, read
from tests.e2e.portal import Portal

# A device that changes over is away for longer than one of its hub's snapshots, or the hub would not tell of it.
RESTART = 1.0


def connected(device: Living) -> Connected:
    def register(fresh: Identity) -> str:
        return device.registers(fresh).hub

    return Connected(device.hub, device.identity, device.site.tls, device.renewed, register, restart=RESTART)


def test_a_connected_device_renews_when_an_operator_wants_it(operator: Operator, site: Site) -> None:
    """Long before it is due; the hub lets both certificates in, until the device has proven the new one."""
    device = living(operator, "ops-renew-now")
    ask = partial(operator.post, f"/api/devices/{device.name}/renew", {"comment": "before the audit"}, key="renew-1")
    with connected(device) as live:
        answer = ask()
        assert (answer.status, read(answer)["serial"], read(answer)["done"]) == (202, device.serial, False)
        assert eventually(lambda: live.renewals)
        fresh = f"{live.identity.leaf.serial_number:x}"
        assert fresh != device.serial
        assert eventually(lambda: operator.device(device.name)["rotation"]["current"] == fresh)
        again = ask()
        assert (again.status, read(again)["serial"], read(again)["done"]) == (200, device.serial, True)
        assert (live.renewals, live.refusals) == (1, [])
    assert len(site.issued(name=device.name)) == 2


def test_a_device_that_is_away_is_asked_once_for_each_key(operator: Operator, portal: Portal) -> None:
    device = living(operator, "ops-renew-away")

    def nudges() -> dict[str, object]:
        found: dict[str, object] = operator.device(device.name)["nudges"]
        return found

    for number in (1, 2):
        ask = partial(operator.post, f"/api/devices/{device.name}/renew", key=f"renew-{number}")
        assert (ask().status, read(ask())["done"]) == (202, False)
        assert eventually(lambda number=number: nudges()["count"] == number)  # type: ignore[misc]
        before = nudges()
        assert (ask().status, read(ask())["done"]) == (202, False)
        assert nudges() == before
    asked = portal.twin(device.hub, device.name)["properties"]["desired"]["certificate"]
    assert asked["renew"] == device.serial


def test_the_same_key_twice_does_one_thing(operator: Operator) -> None:
    """A request that was repeated after its answer was lost must not undo what came after it."""
    device = living(operator, "ops-key-twice")
    hold = partial(operator.post, f"/api/devices/{device.name}/hold", {"comment": "in repair"}, key="hold-1")
    first = read(hold())["saga"]
    operator.done(device.name, "restore")
    for _ in range(2):
        answer = hold()
        assert (answer.status, read(answer)["saga"]["id"]) == (200, first["id"])
        assert operator.device(device.name)["block"]["state"] == "none"
        assert device.let_in()
    answer = operator.post(f"/api/devices/{device.name}/hold", {"comment": "in repair"}, key="hold-2")
    assert read(answer)["saga"]["id"] != first["id"]
    assert not device.let_in()


def test_the_same_key_many_times_at_once_does_one_thing(operator: Operator, site: Site) -> None:
    device = living(operator, "ops-key-crowd")
    url, body = f"/api/devices/{device.name}/revoke", {"reason": "keyCompromise"}
    with ThreadPoolExecutor(max_workers=6) as pool:
        asked = [pool.submit(operator.post, url, body, key="crowd") for _ in range(6)]
        answers = [one.result() for one in asked]
    assert {answer.status for answer in answers} <= {200, 202}
    assert len({read(answer)["saga"]["id"] for answer in answers}) == 1
    assert eventually(lambda: operator.device(device.name)["saga"]["done"])

    def announced() -> list[str]:
        published = site.sandbox.control("GET", "/event-grid/published")
        return sorted(one["type"] for one in published if one["subject"] == device.name and "Issued" not in one["type"])

    assert eventually(lambda: len(set(announced())) == 2)
    ids = {one["id"] for one in site.sandbox.control("GET", "/event-grid/published") if one["subject"] == device.name}
    assert len(ids) == 3, "issued, blocked, revoked"


def test_a_key_belongs_to_what_it_was_first_used_for(operator: Operator) -> None:
    device, other = living(operator, "ops-key-other"), living(operator, "ops-key-neighbour")
    hold = f"/api/devices/{device.name}/hold"
    assert operator.post(hold, {"comment": "in repair"}, key="mine").status == 200
    for url, body in (
        (hold, {"comment": "on its way"}),
        (hold, {}),
        (f"/api/devices/{device.name}/restore", {"comment": "in repair"}),
        (f"/api/devices/{device.name}/revoke", {"comment": "in repair", "reason": "keyCompromise"}),
        (f"/api/devices/{device.name}/renew", {"comment": "in repair"}),
    ):
        status, kind, detail = problem(operator.post(url, body, key="mine"))
        assert (status, kind) == (409, "Conflict")
        assert "Idempotency-Key" in detail
    assert operator.device(device.name)["block"]["state"] == "hold"
    assert operator.post(f"/api/devices/{other.name}/hold", key="mine").status == 200, "each device has its own keys"


KEY = ("Idempotency-Key", "k")
MISTAKES = [
    ([JSON], b"{}", 400, "Idempotency-Key"),
    ([JSON, ("Idempotency-Key", "")], b"{}", 400, "Idempotency-Key"),
    ([JSON, ("Idempotency-Key", "a b")], b"{}", 400, "Idempotency-Key"),
    ([JSON, KEY, ("X-Caller", "z" * 200)], b"{}", 400, "caller"),
    ([JSON, KEY], b'{"reason": "boredom"}', 400, "reason"),
    ([JSON, KEY], b'{"serial": "7"}', 400, "unknown fields"),
    ([JSON, KEY], b"", 400, "JSON object"),
    ([JSON, KEY], b" " * 20_000, 413, "16384"),
    ([("Content-Type", "text/plain"), KEY], b"{}", 415, "application/json"),
    ([JSON, ("Content-Encoding", "gzip"), KEY], b"{}", 415, "content encoding"),
]


def test_a_write_that_is_not_understood_does_nothing(operator: Operator) -> None:
    device = living(operator, "ops-form")
    for headers, body, status, says in MISTAKES:
        found = problem(operator.send("POST", f"/api/devices/{device.name}/hold", body, headers))
        assert found[0] == status
        assert says in found[2]
    assert operator.device(device.name)["saga"] is None
    assert device.let_in()
    assert operator.post(f"/api/devices/{device.name}/hold", key="k").status == 200, "the key is not used up"


@pytest.mark.parametrize("buffered", [True, False])
def test_a_body_in_chunks_is_read_or_refused_and_never_taken_for_none(
    operator: Operator, site: Site, *, buffered: bool
) -> None:
    """The Functions host hands a chunked body on as an empty one, where no front end gives it a length."""
    site.sandbox.control("PUT", "/edge", {"buffer_chunked": buffered})
    device = living(operator, f"ops-chunked-{buffered}".lower())
    headers = [JSON, ("Idempotency-Key", "k"), ("Transfer-Encoding", "chunked")]
    body = wire.chunked(b'{"reason": "keyCompromise", "comment": "stolen"}', 16)
    answer = operator.send("POST", f"/api/devices/{device.name}/revoke", body, headers)
    assert answer.status == (200 if buffered else 400), answer.text
    assert device.let_in() is not buffered
