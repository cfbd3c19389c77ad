"""One chunk of a batch: each row ends as issued, already issued, pending, or refused with a reason.

A row that cannot be decided now, because something does not answer, holds up the chunk: it is done again as a whole.
"""

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core import csr
from shared.core.batch import OUTCOMES, Batch, RowOutcome
from shared.core.batch_rows import Row
from shared.core.errors import (
    Again,
    DailyLimit,
    Misconfigured,
    Refusal,
    UpstreamRefused,
)
from shared.core.est import Operation
from shared.core.fleet import LedgerCertificate
from shared.core.identity import DeviceId, device_id, registration_key
from shared.core.policy import requested_device
from shared.core.principal import Operator
from shared.core.profile import Profile, Profiles
from shared.flows.issue import Asked, Issue
from shared.flows.turns import Turns

AT_ONCE: Final = 16
# When the CA refuses all of so many rows, it is not the rows: the batch waits for an operator.
_ALL_REFUSED: Final = 5
# After so many tries the rows that can be decided no longer wait for those that cannot.
_PATIENCE: Final = 5


class Stopped(Exception):
    """The batch must not go on until somebody has looked at it. `text` says at what."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a row."""

    row: Row
    outcome: RowOutcome
    reason: str = ""
    certificate: LedgerCertificate | None = None
    by_ca: bool = False

    def line(self) -> bytes:
        """The result as a line of JSON Lines."""
        shown: dict[str, object] = {
            "row": self.row.number,
            "device_id": self.row.device_id,
            "outcome": self.outcome,
        }
        if self.reason:
            shown["reason"] = self.reason
        if self.certificate:
            made = self.certificate.certificate
            shown |= {
                "serial": made.serial,
                "not_after": made.not_after.isoformat(),
                "certificate": x509.load_der_x509_certificate(made.der).public_bytes(Encoding.PEM).decode(),
            }
        return json.dumps(shown).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Done:
    """A chunk whose rows have all ended."""

    lines: bytes
    counts: dict[RowOutcome, int]


@dataclass(frozen=True)
class Chunk:
    profiles: Profiles
    issue: Issue
    turns: Turns

    async def run(self, batch: Batch, rows: Sequence[Row]) -> Done:
        """Raises Unavailable and its kind when the chunk must be done again, Misconfigured, Stopped.

        A row that alone cannot be decided, time after time, is left for the next round: it is pending.
        """
        profile = self.profiles.by_label.get(batch.label)
        if profile is None:
            raise Stopped(f"there is no label {batch.label} any more")
        twice = _twice(rows)
        free = asyncio.Semaphore(AT_ONCE)

        async def one(row: Row) -> Result:
            if row.number in twice:
                return Result(row, "refused", f"the device stands in row {twice[row.number]} already")
            async with free:
                return await self._row(batch, profile, row)

        results = await _all(rows, [one(row) for row in rows], impatient=batch.tries >= _PATIENCE)
        if len(results) >= _ALL_REFUSED and all(result.by_ca for result in results):
            raise Stopped(f"the CA refuses every row: {results[0].reason}; resume the batch when that is mended")
        counts = {outcome: sum(result.outcome == outcome for result in results) for outcome in OUTCOMES}
        return Done(b"".join(result.line() for result in results), counts)

    async def _row(self, batch: Batch, profile: Profile, row: Row) -> Result:
        if row.problem:
            return Result(row, "refused", row.problem)
        try:
            name = device_id(row.device_id)
            request = csr.parse(csr.decode_body(row.csr.encode()))
            operator = Operator(batch.caller, name)
            asked = Asked(
                requested_device(operator, request),
                operator,
                Operation.SIMPLEENROLL,
                request,
                source="batch",
                batch=batch.id,
            )
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
        return Result(row, "issued" if outcome.batch == batch.id else "already issued", certificate=outcome)


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


def _twice(rows: Sequence[Row]) -> Mapping[int, int]:
    """The rows whose device stands in an earlier one of the chunk, and the number of that."""
    first: dict[str, int] = {}
    again: dict[int, int] = {}
    for row in rows:
        key = registration_key(DeviceId(row.device_id))
        if row.device_id and not row.problem and first.setdefault(key, row.number) != row.number:
            again[row.number] = first[key]
    return again
