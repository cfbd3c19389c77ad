"""When a device is asked to renew, and how loudly."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.certificate import certificate
from shared.core.fleet import Block, Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.core.profile import RenewalRules
from shared.core.renewal import Later, NoMore, Nudge, decide, interval, urgency_of
from tests.core.making import DAY, NOW, Authority

RULES = RenewalRules(direct_method="", grace_hours=24, accept_expired_days=0, nudge_every_hours=24)
# Thirty-one days, of which the last 6.2 are for renewing.
KEPT = LedgerCertificate(certificate(Authority().issue(serial=0xABC)), "devices", "est")
CERTIFICATE = KEPT.certificate
POINT = 0.8
DUE = CERTIFICATE.renewal_due(POINT)
DEVICE = Device(DeviceId("device-1"), "devices", NOW, latest="abc")


def known(device: Device | None = DEVICE, kept: LedgerCertificate = KEPT) -> Snapshot:
    return Snapshot(device=device, certificates=(kept,))


def test_a_due_device_is_asked_and_asked_again_after_the_profiles_time() -> None:
    assert decide(known(), "abc", RULES, POINT, DUE) == Nudge("due", DUE + DAY)


@pytest.mark.parametrize(
    ("left", "urgency"), [(1.0, "due"), (0.51, "due"), (0.5, "soon"), (0.2, "urgent"), (0, "urgent")]
)
def test_it_gets_louder_as_the_end_comes_near(left: float, urgency: str) -> None:
    now = CERTIFICATE.not_after - (CERTIFICATE.not_after - DUE) * left
    assert urgency_of(CERTIFICATE, POINT, now) == urgency


def test_that_it_becomes_urgent_is_told_the_first_time_alone() -> None:
    """What was asked for an earlier certificate does not count: this one had all of its time then."""
    urgent = CERTIFICATE.not_after - (CERTIFICATE.not_after - DUE) * 0.2
    first = decide(known(replace(DEVICE, nudged_at=DUE)), "abc", RULES, POINT, urgent)
    never = decide(known(), "abc", RULES, POINT, urgent)
    before = decide(known(replace(DEVICE, nudged_at=CERTIFICATE.not_before - DAY)), "abc", RULES, POINT, urgent)
    again = decide(known(replace(DEVICE, nudged_at=urgent)), "abc", RULES, POINT, urgent + DAY / 2)
    asked = (one.expiring for one in (first, never, before, again) if isinstance(one, Nudge))
    assert list(asked) == [True, True, True, False]


def test_a_device_that_was_asked_a_moment_ago_is_left_in_peace() -> None:
    asked = replace(DEVICE, nudged_at=DUE)
    assert decide(known(asked), "abc", RULES, POINT, DUE + timedelta(hours=1)) == Later(DUE + DAY)
    assert isinstance(decide(known(asked), "abc", RULES, POINT, DUE + DAY), Nudge)


@pytest.mark.parametrize(
    ("known_now", "reason"),
    [
        (known(None), "unknown"),
        (Snapshot(device=DEVICE), "unknown"),
        (known(replace(DEVICE, block=Block.REVOKED)), "blocked"),
        (known(kept=replace(KEPT, status="revoked")), "revoked"),
        (known(replace(DEVICE, latest="def")), "renewed"),
    ],
)
def test_asking_ends_when_it_has_no_sense_any_more(known_now: Snapshot, reason: str) -> None:
    assert decide(known_now, "abc", RULES, POINT, DUE) == NoMore(reason)  # type: ignore[arg-type]


def test_asking_ends_with_the_certificate() -> None:
    end = CERTIFICATE.not_after
    assert isinstance(decide(known(), "abc", RULES, POINT, end), Nudge)
    assert decide(known(), "abc", RULES, POINT, end + timedelta(seconds=1)) == NoMore("expired")


@given(st.floats(min_value=0, max_value=1), st.integers(min_value=1, max_value=1000))
def test_the_next_time_is_never_soon_enough_to_flood_nor_later_than_the_profile_says(share: float, hours: int) -> None:
    now = DUE + (CERTIFICATE.not_after - DUE) * share
    rules = replace(RULES, nudge_every_hours=hours)
    every = interval(CERTIFICATE, rules, urgency_of(CERTIFICATE, POINT, now), now)
    assert timedelta(minutes=30) <= every <= max(timedelta(hours=hours), timedelta(minutes=30))


def test_a_device_on_hold_is_not_asked_and_not_forgotten() -> None:
    held = replace(DEVICE, block=Block.HOLD)
    assert decide(known(held), "abc", RULES, POINT, DUE) == Later(DUE + DAY)
