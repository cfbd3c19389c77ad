"""One chunk of a batch: each row ends as issued, already issued, pending, or refused with a reason.

A row that cannot be decided now, because something does not answer, holds up the chunk: it is done again as a whole.
"""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from shared.core import batch as rules
from shared.core import batch_results, csr
from shared.core.batch import Batch
from shared.core.batch_results import Line, Result
from shared.core.batch_rows import Row
from shared.core.errors import Again, DailyLimit, Misconfigured, Refusal, UpstreamRefused
from shared.core.est import Operation
from shared.core.fleet import BatchRow, LedgerCertificate
from shared.core.identity import DeviceId, RegistrationKey, device_id, registration_key
from shared.core.policy import requested_device
from shared.core.principal import Operator
from shared.core.profile import Profile, Profiles
from shared.flows.issue import Asked, Issue
from shared.flows.turns import LateError, Turns

# When the CA refuses all of so many rows, it is not the rows: the batch waits for an operator.
_ALL_REFUSED: Final = 5
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


@dataclass(frozen=True)
class Chunk:
    """`at_once` rows are asked for side by side."""

    profiles: Profiles
    issue: Issue
    turns: Turns
    at_once: int

    async def run(self, batch: Batch, rows: Sequence[Row], before: Mapping[int, Line]) -> list[Line]:
        """The rows' results in their order; those that are in `before` stay as they are.

        Raises Unavailable and its kind when the chunk must be done again, Misconfigured, LateError, StoppedError. A row
        that alone cannot be decided, time after time, is left for the next round: it is pending.
        """
        profile = self.profiles.by_label.get(batch.label)
        if profile is None:
            raise StoppedError(f"there is no label {batch.label} any more")
        results = await self._results(batch, profile, [row for row in rows if row.number not in before])
        if len(results) >= _ALL_REFUSED and all(result.by_ca for result in results):
            text = f"the CA refuses every row: {results[0].reason}; resume the batch when that is mended"
            raise StoppedError(text)
        if rules.is_late(batch, self.turns.clock()):
            results = [_too_late(result) if result.outcome == "pending" else result for result in results]
        lines = {**before, **{result.row.number: batch_results.line(result) for result in results}}
        return [lines[row.number] for row in rows]

    async def _results(self, batch: Batch, profile: Profile, rows: Sequence[Row]) -> list[Result]:
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
        try:
            operator = Operator(batch.caller, device_id(row.device_id))
            request = csr.parse(csr.decode_body(row.csr.encode()))
            device = requested_device(operator, request)
            asked = Asked(device, operator, Operation.SIMPLEENROLL, request, source="batch", batch=place)
            if not await self.issue.is_answered(profile, asked):
                await self.turns.wait()
            outcome = await self.issue.issue(profile, asked)
        except DailyLimit as refusal:
            return Result(row, "refused", refusal.public)
        except (Again, Misconfigured):
            raise
        except Refusal as refusal:
            return Result(row, "refused", refusal.public, by_ca=isinstance(refusal, UpstreamRefused))
        if not isinstance(outcome, LedgerCertificate):
            return Result(row, "pending", "DigiCert ONE has not decided yet")
        return Result(row, "issued" if outcome.batch == place else "already issued", certificate=outcome)


async def _all(rows: Sequence[Row], work: Sequence[Coroutine[None, None, Result]], *, impatient: bool) -> list[Result]:
    """All of them to their end, whatever happens to some: what was ordered is to be written down."""
    ended = await asyncio.gather(*work, return_exceptions=True)
    results: list[Result] = []
    failures: list[BaseException] = []
    for row, one in zip(rows, ended, strict=True):
        if isinstance(one, Result):
            results.append(one)
            continue
        failures.append(one)
        if isinstance(one, Again | Misconfigured):
            results.append(Result(row, "pending", one.public))
    hopeless = len(failures) == len(rows) or not impatient
    for failure in failures:
        if hopeless or not isinstance(failure, Again | Misconfigured):
            raise failure
    return results


def _too_late(result: Result) -> Result:
    text = f"not decided within {rules.APPROVAL.days} days: {result.reason}"
    return replace(result, outcome="refused", reason=text)
