"""The family of refusals: what each carries, and to whom."""

import pytest

from shared.core import errors

PLAIN = [
    *(errors.Malformed, errors.Forbidden, errors.NotFound, errors.NotOffered, errors.Conflict, errors.TooLarge),
    *(errors.Unsupported, errors.UpstreamRefused, errors.Misconfigured),
]
AGAIN = [errors.Throttled, errors.OutcomeUnknown, errors.Unavailable]


@pytest.mark.parametrize("kind", PLAIN)
def test_what_is_public_is_the_text_and_the_cause_is_not(kind: type[errors.Refusal]) -> None:
    refusal = kind("the line for the caller", cause="the line for the log")
    assert str(refusal) == refusal.public == "the line for the caller"
    assert (refusal.cause, refusal.device_id) == ("the line for the log", "")
    assert "log" not in repr(refusal)


@pytest.mark.parametrize("kind", AGAIN)
def test_what_may_succeed_later_says_when(kind: type[errors.Again]) -> None:
    refusal = kind("later", retry_after=60, cause="why")
    assert isinstance(refusal, errors.Again)
    assert (refusal.public, refusal.retry_after, refusal.cause) == ("later", 60, "why")


def test_others_say_what_the_caller_needs() -> None:
    assert errors.Unauthenticated("who?", challenge=True).challenge
    assert errors.MethodNotAllowed("not so", allow=("GET", "HEAD")).allow == ("GET", "HEAD")
    assert errors.UpstreamRefused("no", nothing_issued=True).nothing_issued
    assert not errors.UpstreamRefused("garbage").nothing_issued
