"""A renewed certificate takes its place beside the old one: the one in use is never overwritten."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.certificate import certificate
from shared.core.rotation import Slot, Slots, slot_for
from tests.core.making import Authority

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
