"""What operators read of a device. The form of every view is checked against docs/openapi.json in tests/functions."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from shared.core import ops_views
from shared.core.fleet import MOST_RECENT, Block, Change, Device, Failure, RecentEvent, Snapshot, recent
from shared.core.identity import DeviceId
from shared.core.lifecycle import event
from shared.core.passcode import OneTimePasscode
from shared.core.revocation import Reason, saga
from tests.fakes.clock import START
from tests.fakes.ops import a_certificate

DEV = DeviceId("dev-1")
NEW = Device(DEV, "devices", START)


def test_a_new_device_has_nothing_yet() -> None:
    assert ops_views.device_view(Snapshot(NEW), NEW) == {
        "device_id": "dev-1",
        "label": "devices",
        "created": "2026-03-02T09:00:00+00:00",
        "block": {"state": "none", "reason": None, "since": None},
        "hub": None,
        "connection": {"connected": False, "last_seen": None},
        "rotation": {"state": "none", "current": None, "latest": None, "since": None},
        "nudges": {"count": 0, "last": None},
        "issued": {"day": None, "count": 0},
        "failure": None,
        "passcode": None,
        "certificates": [],
        "certificates_total": 0,
        "saga": None,
        "events": [],
        "events_unpublished": 0,
    }


def test_all_that_is_known_is_shown() -> None:
    device = replace(
        NEW,
        hub="hub-a",
        block=Block.HOLD,
        block_reason="keyCompromise",
        blocked_at=START,
        issued_on=date(2026, 3, 1),
        issued_count=2,
        connected=True,
        last_seen=START,
        nudged_at=START,
        nudges=4,
        failure=Failure("expired", START, "2001:db8::1"),
        passcode=OneTimePasscode(b"salt", b"digest", START, failures=2, burnt_by="claim"),
    )
    held = saga("ops-1", "hold", Reason.KEY_COMPROMISE, START, caller="Zoë", comment="lost")
    steps = [replace(held.steps[0], done_at=START), replace(held.steps[1], failures=2, error="429"), *held.steps[2:]]
    held = replace(held, steps=tuple(steps))
    said = event("blocked", DEV, START, "ops-1", reason="keyCompromise")
    last = (RecentEvent("issued-0a", "issued", START, "0a"), RecentEvent(said.id, said.kind, said.time))
    view = ops_views.device_view(Snapshot(device, None, (a_certificate("0a"),), held, (said,), last), device)
    now = "2026-03-02T09:00:00+00:00"
    assert view["block"] == {"state": "hold", "reason": "keyCompromise", "since": now}
    assert view["connection"] == {"connected": True, "last_seen": now}
    assert view["nudges"] == {"count": 4, "last": now}
    assert view["issued"] == {"day": "2026-03-01", "count": 2}
    assert view["failure"] == {"reason": "expired", "at": now, "address": "2001:db8::1"}
    assert view["passcode"] == {"expires": now, "wrong_tries": 2, "most_wrong_tries": 10, "used": True}
    assert view["saga"] == {
        "id": "ops-1",
        "verb": "hold",
        "reason": "keyCompromise",
        "caller": "Zoë",
        "comment": "lost",
        "begun": now,
        "done": False,
        "steps": [
            {"name": "dps", "done_at": now, "failures": 0, "error": None},
            {"name": "hub", "done_at": None, "failures": 2, "error": "429"},
            {"name": "announce", "done_at": None, "failures": 0, "error": None},
        ],
    }
    assert view["events"] == [
        {"id": "blocked-ops-1", "kind": "blocked", "time": now, "serial": None, "published": False},
        {"id": "issued-0a", "kind": "issued", "time": now, "serial": "0a", "published": True},
    ]
    assert (view["certificates_total"], view["events_unpublished"]) == (1, 1)


@pytest.mark.parametrize(
    ("current", "latest", "since", "state"),
    [
        ("", "", None, "none"),
        ("", "0a", None, "unseen"),
        ("0a", "0a", None, "settled"),
        ("0a", "0b", START, "rotating"),
        ("0a", "0b", None, "beside"),
    ],
)
def test_the_rotation_is_told_in_one_word(current: str, latest: str, since: None, state: str) -> None:
    device = replace(NEW, current=current, latest=latest, rotating_since=since)
    assert ops_views.rotation_state(device) == state


def test_in_a_list_a_certificate_names_its_device() -> None:
    kept = a_certificate("0a")
    view = ops_views.listed_view(DEV, kept)
    assert view.pop("device_id") == "dev-1"
    assert view == ops_views.certificate_view(kept)


def test_a_view_is_bounded_and_shows_the_newest() -> None:
    certificates = tuple(
        replace(one, certificate=replace(one.certificate, not_before=START + timedelta(minutes=number)))
        for number in range(150)
        for one in (a_certificate(f"{number:x}"),)
    )
    events = tuple(event("issued", DEV, START + timedelta(minutes=number), f"{number}") for number in range(70))
    last = recent(Snapshot(NEW), Change(NEW, events=events))
    view = ops_views.device_view(Snapshot(NEW, None, certificates, None, events, last), NEW)
    shown, said = view["certificates"], view["events"]
    assert isinstance(shown, list)
    assert isinstance(said, list)
    assert (len(shown), shown[0]["serial"], view["certificates_total"]) == (100, "95", 150)
    assert (len(said), said[0]["id"], view["events_unpublished"]) == (MOST_RECENT, "issued-69", 70)
