"""One chunk of a batch: each row ends as issued, already issued, pending, or refused with a reason.

A row that cannot be decided now, because something does not answer, holds up the chunk: it is done again as a whole.
What was decided is given all the same, because an operator may end the batch before that.
"""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from shared.core import csr
from shared.core.batch import Batch
from shared.core.batch_results import Result
from shared.core.batch_rounds import APPROVAL, is_late
from shared.core.batch_rows import Row
from shared.core.errors import Again, DailyLimit, Malformed, Misconfigured, Refusal, UpstreamRefused
from shared.core.est import Operation
from shared.core.fleet import BatchRow, LedgerCertificate
from shared.core.identity import DeviceId, RegistrationKey, device_id, registration_key
from shared.core.policy import requested_device
from shared.core.principal import Operator
from shared.core.profile import Profile, Profiles
from shared.flows.issue import Asked, Issue
from shared.flows.turns import LateError, Turns

# After so many tries the rows that can be decided no longer wait for those that cannot.
_PATIENCE: Final = 5
# For how long rows of a chunk are begun. With many batches at once their turns lie far apart, and the function has an
# end; the next try finds what was issued.
BEGIN_WITHIN: Final = timedelta(seconds=90)


class StoppedError(Exception):
    """The batch must not go on until somebody has looked at it. `text` says at what."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True)
class Worked:
    """What has become of rows. With a `failure` those are left out that must be done again."""

    results: list[Result]
    failure: Exception | None = None


@dataclass(frozen=True)
class Chunk:
    """`at_once` rows are asked for side by side."""

    profiles: Profiles
    issue: Issue
    turns: Turns
    at_once: int

    async def run(self, batch: Batch, rows: Sequence[Row]) -> Worked:
        """What has become of the rows, in their order. Raises StoppedError.

        A row that alone cannot be decided, time after time, is left for the next round: it is pending.
        """
        profile = self.profiles.by_label.get(batch.label)
        if profile is None:
            raise StoppedError(f"there is no label {batch.label} any more")
        worked = await self._worked(batch, profile, rows)
        if not is_late(batch, self.turns.clock()):
            return worked
        return replace(worked, results=[_too_late(one) if one.outcome == "pending" else one for one in worked.results])

    async def _worked(self, batch: Batch, profile: Profile, rows: Sequence[Row]) -> Worked:
        """Rows of one device go one after the other: the first has the device's certificate, the next are told so."""
        free, end = asyncio.Semaphore(self.at_once), self.turns.clock() + BEGIN_WITHIN
        queues: dict[RegistrationKey, asyncio.Lock] = defaultdict(asyncio.Lock)
        undecided: dict[RegistrationKey, Refusal] = {}

        async def one(row: Row) -> Result:
            device = registration_key(DeviceId(row.device_id))
            async with queues[device], free:
                if self.turns.clock() > end:
                    raise LateError
                if device in undecided:
                    raise undecided[device]
                try:
                    return await self._row(batch, profile, row)
                except (Again, Misconfigured) as refusal:
                    undecided[device] = refusal
                    raise

        return await _all(rows, [one(row) for row in rows], impatient=batch.tries >= _PATIENCE)

    async def _row(self, batch: Batch, profile: Profile, row: Row) -> Result:
        if row.problem:
            return Result(row, "refused", row.problem)
        place = BatchRow(batch.id, row.number)
        is_ours = True  # what is malformed is found by us, until DigiCert ONE is asked
        try:
            operator = Operator(batch.caller, device_id(row.device_id))
            request = csr.parse(csr.decode_body(row.csr.encode()))
            device = requested_device(operator, request)
            asked = Asked(device, operator, Operation.SIMPLEENROLL, request, source="batch", batch=place)
            if not await self.issue.is_answered(profile, asked):
                await self.turns.wait()
            is_ours = False
            outcome = await self.issue.issue(profile, asked)
        except DailyLimit as refusal:
            return Result(row, "refused", refusal.public)
        except (Again, Misconfigured):
            raise
        except Refusal as refusal:
            by_ca = not is_ours and isinstance(refusal, UpstreamRefused | Malformed)
            return Result(row, "refused", refusal.public, by_ca=by_ca)
        if not isinstance(outcome, LedgerCertificate):
            return Result(row, "pending", "DigiCert ONE has not decided yet")
        return Result(row, "issued" if outcome.batch == place else "already issued", certificate=outcome)


async def _all(rows: Sequence[Row], work: Sequence[Coroutine[None, None, Result]], *, impatient: bool) -> Worked:
    """All of them to their end, whatever happens to some: what was ordered is to be written down."""
    ended = list(zip(rows, await asyncio.gather(*work, return_exceptions=True), strict=True))
    decided = [one for _, one in ended if isinstance(one, Result)]
    failures = [one for _, one in ended if isinstance(one, BaseException)]
    grave = [one for one in failures if not isinstance(one, Again | Misconfigured)]
    hopeless = [] if impatient and decided else failures
    for failure in (*hopeless, *grave):
        if not isinstance(failure, Exception):
            raise failure
        return Worked(decided, failure)
    return Worked([one if isinstance(one, Result) else Result(row, "pending", str(one)) for row, one in ended])


def _too_late(result: Result) -> Result:
    text = f"not decided within {APPROVAL.days} days: {result.reason}"
    return replace(result, outcome="refused", reason=text)
