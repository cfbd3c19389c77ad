"""The timeline tells what the stand-ins saw, and names who did it."""

import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.timeline import Timeline, tell

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
UPDATED = {
    "service": "IoT Hub",
    "event": "device updated",
    "hub": "hub-a",
    "device": "dev-1",
    "status": "enabled",
    "primaryThumbprint": "AABBCCDDEEFF",
    "secondaryThumbprint": None,
}


def told(*entries: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    stamped = [{"time": NOW.isoformat(), "n": number} | entry for number, entry in enumerate(entries)]
    Timeline(out).journal(stamped)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("after", "who"),
    [
        ({"service": "DPS", "event": "device assigned"}, "DPS → hub-a"),
        ({"service": "IoT Hub", "event": "request", "method": "PUT", "path": "/devices/dev-1"}, "Birthcert → hub-a"),
    ],
)
def test_who_wrote_an_identity_is_told_by_what_follows(after: dict[str, Any], who: str) -> None:
    another_device = {"service": "IoT Hub", "event": "request", "method": "POST", "path": "/devices/dev-2/messages"}
    assert tell(UPDATED, [another_device, after]) == (who, "thumbprints of dev-1: aabbccdd… and none")


def test_a_disabled_identity_is_told_as_such() -> None:
    assert tell(UPDATED | {"status": "disabled"}) == ("→ hub-a", "thumbprints of dev-1: aabbccdd… and none, disabled")


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            {"event": "twin updated", "tags": {}, "desired": {"certificate": {"renew": "01"}}},
            ("Birthcert → hub-a", "desired properties of dev-1: certificate.renew=01"),
        ),
        ({"event": "twin reported", "reported": {"fw": 1}}, ("device → hub-a", "reports fw=1")),
        (
            {"event": "method invoked", "method": "renew", "online": True, "answer": 200},
            ("Birthcert → hub-a", "calls renew of dev-1, which answers 200"),
        ),
        (
            {"event": "method invoked", "method": "renew", "online": False, "answer": None},
            ("Birthcert → hub-a", "calls renew of dev-1, which is not online"),
        ),
        (
            {"event": "device disconnected", "reason": "the identity is disabled"},
            ("hub-a", "dev-1 is gone: the identity is disabled"),
        ),
    ],
)
def test_what_happens_between_birthcert_and_a_connected_device_is_told(
    entry: dict[str, Any], line: tuple[str, str]
) -> None:
    assert tell({"service": "IoT Hub", "hub": "hub-a", "device": "dev-1"} | entry) == line


def test_the_same_thing_twice_is_told_once_and_reading_is_not_told_at_all() -> None:
    read = {
        "service": "Key Vault",
        "event": "request",
        "method": "GET",
        "path": "/secrets/est-passcode/",
        "status": 200,
    }
    lines = told(
        read, read, {"service": "DigiCert ONE", "event": "request", "method": "GET", "path": "/x", "status": 200}
    )
    assert len(lines) == 1
    assert lines[0].endswith("Birthcert → Key Vault     reads est-passcode")


def test_what_failed_at_digicert_is_told_with_its_status() -> None:
    path = "/.well-known/est/IOT_1/simpleenroll"
    entry = {"service": "DigiCert ONE", "event": "request", "method": "POST", "path": path, "status": 503}
    assert tell(entry) == ("Birthcert → DigiCert ONE", "POST simpleenroll: 503")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("scep/IOT_1", "POST scep: 200"),
        ("cmp/IOT_1", "POST cmp: 200"),
        ("acme/new-order", "POST acme new-order: 200"),
        ("acme/order/1/finalize", "POST acme finalize: 200"),
        ("acme/order/1", None),
    ],
)
def test_a_device_that_goes_to_digicert_itself_is_told_as_such(path: str, line: str | None) -> None:
    path = f"/iot/api/v1/{path}"
    entry = {"service": "DigiCert ONE", "event": "request", "method": "POST", "path": path, "status": 200}
    assert tell(entry) == (line and ("device → DigiCert ONE", line))


def test_lines_are_stamped_wrapped_and_without_colour_off_a_terminal() -> None:
    tags = {"certificate": {f"field{number}": "x" * 20 for number in range(10)}}
    lines = told({"service": "IoT Hub", "event": "twin updated", "hub": "hub-b", "device": "dev-1", "tags": tags})
    assert len(lines) > 1
    assert re.match(
        r"\d\d:\d\d:05\.678  Birthcert → hub-b         twin tags of dev-1: certificate\.field0=xxx", lines[0]
    )
    assert max(map(len, lines)) <= 110
    assert all(line.startswith(" " * 40) for line in lines[1:])
    assert "\x1b" not in "".join(lines)
