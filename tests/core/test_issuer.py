"""Issuing CAs in the two slots of an enrollment group, and how a leaf names its CA."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from sandbox import pki
from shared.core.issuer import Roll, named_issuer, names_of, newest, roll
from shared.core.rotation import Slots
from tests.fakes.devices import new_key

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
KNOWN = {"old", "new", "third"}


@pytest.mark.parametrize(
    ("slots", "needed", "change"),
    [
        (Slots(), ["new"], {"primary": "new"}),
        (Slots("new"), ["new"], {}),
        (Slots("old"), ["new", "old"], {"secondary": "new"}),
        (Slots("old", "new"), ["new", "old"], {}),
        (Slots("old", "new"), ["new"], {"primary": "new", "secondary": ""}),
        (Slots("new", "old"), ["new"], {"secondary": ""}),
        (Slots("old"), ["new"], {"primary": "new"}),
        (Slots("", "new"), ["new"], {"primary": "new", "secondary": ""}),
        (Slots("old", "new"), ["third", "new"], {"primary": "third"}),
        (Slots("foreign"), ["new"], {"secondary": "new"}),
        (Slots("old", "foreign"), [], {"primary": ""}),
        (Slots("old"), [], {}),
        (Slots("old", "new"), [], {}),
    ],
)
def test_what_is_needed_stands_in_a_slot_and_what_is_not_leaves(
    slots: Slots, needed: list[str], change: dict[str, str]
) -> None:
    assert roll(slots, needed, KNOWN) == Roll(change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("slots", "needed", "homeless"),
    [
        (Slots("old", "new"), ["third", "new", "old"], ("third",)),
        (Slots("old", "foreign"), ["new", "old"], ("new",)),
        (Slots("foreign", "strange"), ["new"], ("new",)),
    ],
)
def test_nothing_that_is_in_use_is_pushed_out(slots: Slots, needed: list[str], homeless: tuple[str, ...]) -> None:
    assert roll(slots, needed, KNOWN) == Roll({}, homeless)


NAMES = st.sampled_from(["", "old", "new", "third", "foreign"])


@given(NAMES, NAMES, st.lists(st.sampled_from(sorted(KNOWN)), unique=True))
def test_a_roll_loses_nothing_and_ends(primary: str, secondary: str, needed: list[str]) -> None:
    slots = Slots(primary, "" if secondary == primary else secondary)
    made = roll(slots, needed, KNOWN)
    after = Slots(made.change.get("primary", slots.primary), made.change.get("secondary", slots.secondary))
    held = (after.primary, after.secondary)
    assert set(needed) == {one for one in held if one in needed} | set(made.homeless)
    assert all(one in held for one in (slots.primary, slots.secondary) if one in needed or one == "foreign")
    assert any(held) or not (slots.primary or slots.secondary)
    assert roll(after, needed, KNOWN).change == {}


def test_a_leaf_names_its_ca_by_key() -> None:
    hierarchy = pki.issuing_hierarchy(NOW)
    leaf = pki.issue_leaf(hierarchy.ica, "dev-1", new_key().public_key(), NOW)
    assert named_issuer(leaf) == names_of(hierarchy.ica.certificate)[0]
    rogue = pki.rogue_authority(hierarchy.ica)  # of the same name
    assert named_issuer(leaf) != names_of(rogue.certificate)[0]


def test_a_leaf_without_a_key_identifier_names_its_ca_by_name() -> None:
    hierarchy = pki.issuing_hierarchy(NOW)
    subject = hierarchy.ica.certificate.subject
    bare = (
        x509.CertificateBuilder()
        .subject_name(pki.common_name("dev-1"))
        .issuer_name(subject)
        .public_key(new_key().public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
    )
    leaf = bare.sign(hierarchy.ica.key, hashes.SHA256())
    assert named_issuer(leaf) == names_of(hierarchy.ica.certificate)[1]
    assert len(names_of(leaf)) == 1


def test_the_newest_of_the_valid_ones_issues() -> None:
    root = pki.self_signed("Root", new_key().curve, NOW - 900 * DAY, 9000 * DAY)
    old, new = (pki.issuing_ca(root, name, begin).certificate for name, begin in (("1", NOW - 9 * DAY), ("2", NOW)))
    future = pki.issuing_ca(root, "3", NOW + DAY).certificate
    assert newest([new, old, future], NOW) == new
    assert newest([future], NOW) is None
