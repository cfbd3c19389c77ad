"""What a device may be called, and when two names are the same device."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import Malformed
from shared.core.identity import device_id, registration_key

IDS = st.from_regex(r"[A-Za-z0-9:._-]{0,63}[A-Za-z0-9-]", fullmatch=True)


@pytest.mark.parametrize("text", ["a", "-", "A-1", "urn:dev:ops:1", "a.b_c-d", "x" * 64, "_a", ":1", "..a"])
def test_is_a_device_id(text: str) -> None:
    assert device_id(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "a.", "a:", "a_", "a b", "a\n", "\na", "a/b", "a#b", "a?b", "a%b", "é", "\u212a", "a\x00", "x" * 65, "a*"],
    ids=ascii,
)
def test_is_no_device_id(text: str) -> None:
    with pytest.raises(Malformed, match="device id"):
        device_id(text)


@given(st.text(max_size=70))
def test_any_text_is_a_device_id_as_it_is_or_malformed(text: str) -> None:
    try:
        assert device_id(text) == text
    except Malformed:
        return
    assert text.isascii()


@given(IDS)
def test_case_makes_no_other_device(text: str) -> None:
    key = registration_key(device_id(text))
    assert key == registration_key(device_id(text.upper())) == registration_key(device_id(text.swapcase()))
    assert key.casefold() == text.casefold()


@given(IDS, IDS)
def test_nothing_but_case_makes_two_names_one_device(one: str, other: str) -> None:
    same = registration_key(device_id(one)) == registration_key(device_id(other))
    assert same == (one.lower() == other.lower())
