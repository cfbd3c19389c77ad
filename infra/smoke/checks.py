"""A check and what has come of it: the rows of the table, and whether the deployment may be used."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Concatenate, Literal

from infra.smoke.wire import Silent

type Verdict = Literal["OK", "DIFFERS", "CANNOT TELL"]


@dataclass(frozen=True, slots=True)
class Check:
    """What is tried, and what ought to come of it.

    Where a check is a must and its answer differs, the deployment is not fit for devices. The others are facts that no
    document settles: how Azure or DigiCert ONE really is. The service was built to live with either answer.
    """

    name: str
    tried: str
    expected: str
    must: bool = True

    def holds(self, came: str) -> "Finding":
        return Finding(self, "OK", came)

    def differs(self, came: str, do: str) -> "Finding":
        return Finding(self, "DIFFERS", came, do)

    def unknown(self, came: str, do: str) -> "Finding":
        return Finding(self, "CANNOT TELL", came, do)

    def as_fact(self) -> "Check":
        """The same where this answer can be lived with."""
        return replace(self, must=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """`came` is what was seen, `do` what to do about it where it is not as expected. Neither holds a secret."""

    check: Check
    verdict: Verdict
    came: str
    do: str = ""

    @property
    def fails(self) -> bool:
        return self.check.must and self.verdict == "DIFFERS"


def settle[**P](
    check: Check, look: Callable[Concatenate[Check, P], Finding], *given: P.args, **named: P.kwargs
) -> Finding:
    """What `look` finds; a server that does not answer is no answer as expected."""
    try:
        return look(check, *given, **named)
    except Silent as error:
        return _nothing(check, error)


def attempt[T, **P](
    check: Check,
    look: Callable[Concatenate[Check, P], tuple[Finding, T | None]],
    *given: P.args,
    **named: P.kwargs,
) -> tuple[Finding, T | None]:
    """The same where something comes of it that other checks go on with."""
    try:
        return look(check, *given, **named)
    except Silent as error:
        return _nothing(check, error), None


def _nothing(check: Check, error: Silent) -> Finding:
    return check.differs(f"no answer: {error}", "Does it answer at all? Run the smoke test again.")
