"""What a block means for the device's record: which request is already answered, and what each step writes down."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from shared.core.errors import Conflict, Refusal
from shared.core.fleet import Block, Change, Device, LedgerCertificate, Snapshot
from shared.core.lifecycle import Kind, event
from shared.core.revocation import Saga, StepName, Verb

_MOST_ERROR: Final = 300
_BLOCKS: Final[dict[Verb, Block]] = {
    "revoke": Block.REVOKED,
    "decommission": Block.REVOKED,
    "hold": Block.HOLD,
    "restore": Block.NONE,
}
_SAID_AT_THE_END: Final[dict[Verb, Kind]] = {
    "revoke": "revoked",
    "decommission": "decommissioned",
    "restore": "restored",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step has come to: the serials that DigiCert ONE has revoked, and why the step is not done."""

    revoked: frozenset[str] = frozenset()
    failure: Refusal | None = None


def standing(block: Block, latest: Saga | None, wanted: Saga) -> Saga | None:
    """The saga that has already brought about what is wanted; None when a new one is to begin. Raises Conflict."""
    if latest is not None and latest.id == wanted.id:
        return check_same(latest, wanted)
    match wanted.verb, block:
        case "restore", Block.NONE:
            raise Conflict("the device is not on hold: there is nothing to restore")
        case "restore", Block.REVOKED:
            raise Conflict("a revocation cannot be undone: the device needs another name")
        case "hold", Block.REVOKED:
            raise Conflict("the device is revoked already, which a hold would weaken")
        case ("hold", Block.HOLD) | ("revoke", Block.REVOKED):
            return latest
        case "decommission", Block.REVOKED if latest is not None and latest.verb == "decommission":
            return latest
        case _:
            return None


def check_same(there: Saga, wanted: Saga) -> Saga:
    """The saga that is there under the wanted id. Raises Conflict when it was asked for something else."""
    if there.verb != wanted.verb:
        raise Conflict("this request id has been used for something else: take a new one")
    return there


def opening(device: Device, wanted: Saga) -> Change:
    """The block and the saga, together with the event that tells of it."""
    block = _BLOCKS[wanted.verb]
    if block is Block.NONE:  # it could not connect, so the time that it has to change over begins anew
        since = wanted.begun if device.rotating_since else None
        restored = replace(device, block=block, block_reason="", blocked_at=None, rotating_since=since)
        return Change(restored, saga=wanted)
    blocked = replace(device, block=block, block_reason=wanted.reason.value, blocked_at=wanted.begun)
    events = (event("blocked", device.device_id, wanted.begun, wanted.id, **_told(wanted)),)
    return Change(blocked, saga=wanted, events=events if block is not device.block else ())


def noted(known: Snapshot, device: Device, current: Saga, *, name: StepName, outcome: Outcome, now: datetime) -> Change:
    """What a step writes into the record: it is done, or it has failed; and the certificates that are revoked now.

    A step that was done already stays so.
    """
    revoked = tuple(
        replace(one, status="revoked")
        for one in known.certificates
        if one.certificate.serial in outcome.revoked and one.status != "revoked"
    )
    step = next(one for one in current.steps if one.name == name)
    if step.done_at is not None:
        return Change(device, certificates=revoked)
    if outcome.failure is not None:
        step = replace(step, failures=step.failures + 1, error=_text(outcome.failure))
        return Change(device, certificates=revoked, saga=current.with_step(step))
    kind = _SAID_AT_THE_END.get(current.verb) if name == "announce" else None  # of a hold all is said at its beginning
    events = (event(kind, device.device_id, now, current.id, **_told(current)),) if kind else ()
    step = replace(step, done_at=now, error="")
    return Change(device, certificates=revoked, saga=current.with_step(step), events=events)


def is_live(certificate: LedgerCertificate, now: datetime) -> bool:
    """Whether somebody who checks it would still accept it."""
    return certificate.status != "revoked" and certificate.certificate.not_after > now


def _told(of: Saga) -> dict[str, str]:
    return {"verb": of.verb, "reason": of.reason.value, "caller": of.caller}


def _text(failure: Refusal) -> str:
    """For operators, who read the log too."""
    return f"{failure.public}: {failure.cause}"[:_MOST_ERROR] if failure.cause else failure.public
