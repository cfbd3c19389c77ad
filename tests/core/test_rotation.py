"""A renewed certificate takes its place beside the old one: the one in use is never overwritten."""

from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.certificate import Certificate, certificate
from shared.core.fleet import Device, LedgerCertificate, Snapshot
from shared.core.rotation import Slot, Slots, change, enrollment_step, hub_slots, observed, opened, slot_for
from tests.core.making import NOW, Authority
from tests.core.profiles import device

NEW = replace(certificate(Authority().issue()), thumbprint="new")


@pytest.mark.parametrize(
    ("slots", "in_use", "where"),
    [
        pytest.param(Slots(), "", "primary", id="the first certificate"),
        pytest.param(Slots("old"), "old", "secondary", id="a renewal"),
        pytest.param(Slots("old"), "", "secondary", id="a renewal, and nobody knows what is in use"),
        pytest.param(Slots("old", "older"), "old", "secondary", id="the older one goes"),
        pytest.param(Slots("older", "old"), "old", "primary", id="the older one goes from the first place"),
        pytest.param(Slots("", "old"), "old", "primary", id="the first place is free"),
        pytest.param(Slots("old", "never proven"), "", "secondary", id="the one never proven goes"),
        pytest.param(Slots("new", "old"), "old", None, id="it is there already"),
        pytest.param(Slots("old", "new"), "old", None, id="it is there already, in the second place"),
    ],
)
def test_the_new_certificate_goes(slots: Slots, in_use: str, where: Slot | None) -> None:
    assert slot_for(NEW, slots, in_use) == where


type Status = Literal["issued", "superseded", "revoked"]

THUMBPRINTS = st.sampled_from(["", "a", "b", "new"])


@given(THUMBPRINTS, THUMBPRINTS, THUMBPRINTS.filter(lambda one: one not in ("", "new")))
def test_the_certificate_in_use_stays(primary: str, secondary: str, in_use: str) -> None:
    slots = Slots(primary, secondary)
    before = {primary, secondary}
    match slot_for(NEW, slots, in_use):
        case "primary":
            after = {NEW.thumbprint, secondary}
        case "secondary":
            after = {primary, NEW.thumbprint}
        case _:
            after = before
    assert NEW.thumbprint in after
    assert in_use not in before or in_use in after or primary == secondary


def held(name: str, status: Status = "issued") -> LedgerCertificate:
    """A certificate whose serial and thumbprint are its name."""
    made = replace(NEW, serial=name, thumbprint=name, thumbprint_sha1=f"sha1-{name}")
    return LedgerCertificate(made, "devices", "est", status=status)


A, B, C = held("a"), held("b"), held("c")
KNOWN = Snapshot(None, None, (A, B, C))


def rotating(current: str, latest: str, asked_with: str = "") -> Device:
    return replace(device(), current=current, latest=latest, asked_with=asked_with)


SLOTS = st.sampled_from(["", "a", "b", "c", "A", "SHA1-A", "foreign", "other"])


@given(SLOTS, SLOTS, st.sampled_from(["", "a", "b"]), st.sampled_from(["a", "b", "c"]))
def test_no_hub_loses_the_certificate_in_use_and_writing_again_changes_nothing(
    primary: str, secondary: str, current: str, latest: str
) -> None:
    found = Slots(primary, secondary)
    state = observed(KNOWN, rotating(current, latest), found, NOW)
    wanted = hub_slots(KNOWN, state, found)
    if wanted is None:
        return
    assert latest in wanted.held
    if state.current and any(meant(one) == state.current for one in found.held):
        assert state.current in wanted.held
    if found.held in (("foreign",), ("other",)):
        assert found.held[0] in wanted.held
    assert hub_slots(KNOWN, observed(KNOWN, state, wanted, NOW), wanted) is None


def meant(thumbprint: str) -> str:
    found = KNOWN.by_thumbprint(thumbprint)
    return found.certificate.serial if found else ""


@given(st.sampled_from(["", "a", "b", "c"]), st.sampled_from(["", "a", "b", "c"]), st.sampled_from([None, A, B, C]))
def test_no_enrollment_loses_the_certificate_in_use(
    primary: str, secondary: str, in_use: LedgerCertificate | None
) -> None:
    slots, current = Slots(primary, secondary), in_use.certificate if in_use else None
    settled = in_use is C
    for _ in range(3):
        step = enrollment_step(slots, C.certificate, current, settled=settled)
        if step is None:
            break
        slots = written(slots, *step)
        assert current is None or current.thumbprint not in (primary, secondary) or current.thumbprint in slots.held
    assert enrollment_step(slots, C.certificate, current, settled=settled) is None
    assert "c" in slots.held
    assert current is None or current.thumbprint in slots.held
    assert not settled or slots.held == ("c",)


def written(slots: Slots, slot: Slot, one: Certificate) -> Slots:
    return replace(slots, primary=one.thumbprint) if slot == "primary" else replace(slots, secondary=one.thumbprint)


def test_a_rotation_begins_when_the_certificate_in_use_asks_for_another() -> None:
    wanted = replace(rotating("a", "b", "a"), rotating_since=NOW)
    assert opened(KNOWN, rotating("a", "b"), "a", NOW) == wanted
    assert opened(KNOWN, rotating("", "b"), "a", NOW) == wanted


def test_a_certificate_that_was_asked_for_with_another_stands_beside() -> None:
    """Azure's client has one for EST alone."""
    for presented in ("b", "", "forgotten"):
        assert opened(KNOWN, rotating("a", "c"), presented, NOW) == rotating("a", "c", presented)


def test_while_a_rotation_is_open_whoever_comes_with_its_newest_has_proven_it() -> None:
    state = replace(rotating("a", "c"), rotating_since=NOW)
    assert opened(KNOWN, state, "b", NOW) == replace(rotating("b", "c", "b"), rotating_since=NOW)


def test_a_device_that_had_gone_back_may_come_forward_again() -> None:
    known = Snapshot(None, None, (held("a", "superseded"), B, C))
    assert opened(known, rotating("a", "c"), "b", NOW) == replace(rotating("b", "c", "b"), rotating_since=NOW)


def test_a_registration_that_is_noticed_after_the_next_certificate_was_asked_for_makes_a_rotation_of_it() -> None:
    state = rotating("a", "c", "b")
    assert observed(KNOWN, state, Slots("b", "b"), NOW) == replace(rotating("b", "c", "b"), rotating_since=NOW)


def test_a_device_that_has_gone_back_from_the_newest_may_know_nothing_of_it() -> None:
    assert observed(KNOWN, rotating("b", "b", "a"), Slots("a", "a"), NOW) == rotating("a", "b", "a")


@pytest.mark.parametrize("alone", [Slots("SHA1-B", "b"), Slots("B", "sha1-b"), Slots("", "sha1-b")])
def test_a_certificate_that_stands_there_in_two_forms_stands_alone(alone: Slots) -> None:
    """IoT Hub takes 40 and 64 digits, in either case."""
    assert observed(KNOWN, rotating("a", "b"), alone, NOW) == rotating("b", "b")
    assert hub_slots(KNOWN, rotating("", "c"), alone) == Slots("c", "c")


def test_a_device_that_goes_back_to_an_old_certificate_supersedes_nothing() -> None:
    written_down = change(KNOWN, rotating("b", "b"), rotating("a", "b"), NOW)
    assert (written_down.certificates, written_down.events) == ((), ())
