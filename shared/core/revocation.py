"""Blocking a device: verbs, reasons, and the saga that carries a block through every system."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Final, Literal

from shared.core.errors import Malformed

type Verb = Literal["revoke", "hold", "restore", "decommission"]


class Reason(Enum):
    """RFC 5280 §5.3.1, by its names there."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    CERTIFICATE_HOLD = "certificateHold"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    AA_COMPROMISE = "aACompromise"


# IoT Trust Manager's words. `superseded` is missing on its page, so the nearest harmless one is sent.
DIGICERT: Final = {
    Reason.UNSPECIFIED: "unspecified",
    Reason.KEY_COMPROMISE: "key_compromise",
    Reason.AFFILIATION_CHANGED: "affiliation_changed",
    Reason.SUPERSEDED: "cessation_of_operation",
    Reason.CESSATION_OF_OPERATION: "cessation_of_operation",
    Reason.CERTIFICATE_HOLD: "certificate_hold",
    Reason.PRIVILEGE_WITHDRAWN: "privilege_withdrawn",
    Reason.AA_COMPROMISE: "aa_compromise",
}


def reason(text: str) -> Reason:
    """The reason of that name. Raises Malformed with the names that exist."""
    try:
        return Reason(text)
    except ValueError as error:
        raise Malformed(f"the reason must be one of {', '.join(one.value for one in Reason)}") from error


type StepName = Literal["dps", "hub", "digicert", "announce"]

# DPS first, hub second: a registration that races with us would otherwise create the hub identity again. DigiCert ONE
# is told last, because neither DPS nor IoT Hub reads CRLs: access ends with the first two. A hold can be undone, so
# DigiCert ONE, whose hold cannot surely be taken off again, is not told of one.
STEPS: Final[dict[Verb, tuple[StepName, ...]]] = {
    "revoke": ("dps", "hub", "digicert", "announce"),
    "decommission": ("dps", "hub", "digicert", "announce"),
    "hold": ("dps", "hub", "announce"),
    "restore": ("dps", "hub", "announce"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a saga: when it was done, or why it last failed and how often."""

    name: StepName
    done_at: datetime | None = None
    failures: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Saga:
    """What was asked, by whom and why, and how far it has come. Done when every step is."""

    id: str
    verb: Verb
    reason: Reason
    caller: str
    comment: str
    begun: datetime
    steps: tuple[Step, ...] = field(default=())

    @property
    def next(self) -> Step | None:
        return next((step for step in self.steps if step.done_at is None), None)

    def with_step(self, changed: Step) -> "Saga":
        return replace(self, steps=tuple(changed if step.name == changed.name else step for step in self.steps))


def saga(ident: str, verb: Verb, why: Reason, now: datetime, *, caller: str, comment: str) -> Saga:
    """A new saga with all its steps to do."""
    return Saga(ident, verb, why, caller, comment, now, tuple(Step(name) for name in STEPS[verb]))
