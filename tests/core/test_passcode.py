"""One-time passcodes: enough randomness, readable, and of one claim alone."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.core import passcode as rules
from shared.core.passcode import MAX_FAILURES, RANDOM_BYTES, OneTimePasscode

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SALT = b"s" * 16


def kept(text: str = "abc", cost: int = 1) -> OneTimePasscode:
    return OneTimePasscode(SALT, rules.digest(text, SALT, cost), NOW + timedelta(hours=1), cost)


@given(st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES), st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES))
def test_other_bytes_make_another_passcode_without_letters_that_look_alike(one: bytes, other: bytes) -> None:
    text = rules.passcode(one)
    assert [len(part) for part in text.split("-")] == [5, 5, 5, 5]
    assert not set(text) & set("ilo01")
    few = 31**20
    assert (rules.passcode(other) == text) == (int.from_bytes(one) % few == int.from_bytes(other) % few)


def test_the_right_one_matches_and_no_other_does() -> None:
    assert rules.matches(kept("abc"), "abc")
    for wrong in ("", "ab", "abcd", "ABC", "abc "):
        assert not rules.matches(kept("abc"), wrong)


def test_the_same_text_is_kept_as_another_digest_for_another_device() -> None:
    assert rules.digest("abc", SALT, 1) != rules.digest("abc", b"t" * 16, 1)


def test_the_cost_of_new_ones_is_one_of_owasps() -> None:
    assert (rules.COST, len(rules.digest("abc", SALT, rules.COST))) == (14, 32)


def test_it_is_open_until_its_end_or_too_many_guesses() -> None:
    one = kept()
    assert one.closed(NOW) == ""
    assert "expired" in one.closed(NOW + timedelta(hours=1))
    for _ in range(MAX_FAILURES):
        assert one.closed(NOW) == ""
        one = one.tried()
    assert "too often" in one.closed(NOW)
    assert one.known().closed(NOW) == ""


def test_a_try_that_was_not_compared_does_not_count() -> None:
    assert kept().tried().tried().given_back() == kept().tried()
    assert kept().given_back() == kept()


def test_after_a_try_that_was_right_none_before_it_counts() -> None:
    assert kept().tried().tried().known() == kept()
    assert kept().known() == kept()


def test_it_is_held_by_one_claim_until_that_lets_go_or_is_too_late() -> None:
    held = kept().held("a", NOW + timedelta(seconds=30))
    assert held.is_held("b", NOW)
    assert not held.is_held("a", NOW)
    assert not held.is_held("b", NOW + timedelta(seconds=30))
    assert held.released("b") == held
    assert not held.released("a").is_held("b", NOW)
    assert not kept().is_held("b", NOW)


def test_it_is_burnt_once_and_only_by_whom_it_was_shown() -> None:
    burnt = kept().burnt(SALT, "a")
    assert burnt.burnt_by == "a"
    assert burnt.burnt(SALT, "b") == burnt
    assert kept().burnt(b"earlier", "a") == kept()


def test_its_digest_shows_in_no_text_of_it() -> None:
    assert kept().digest.hex() not in repr(kept())
    assert repr(kept().digest) not in repr(kept())
