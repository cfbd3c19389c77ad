"""Revocation, hold and decommission: one saga that carries a block through DPS, the hubs and DigiCert ONE.

The ledger comes first: from that moment EST and the allocation webhook refuse the device. What follows is idempotent,
recorded step by step, and resumed from wherever it stopped.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from shared.core.blocking import Outcome, check_same, is_live, noted, opening, standing
from shared.core.errors import Again, Misconfigured, NotFound, Refusal, Unavailable
from shared.core.fleet import Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.core.profile import Label, Profiles
from shared.core.revocation import Reason, Saga, StepName, Verb, saga
from shared.flows.announce import tell
from shared.flows.ports.clock import Clock
from shared.flows.ports.dps import Enrollments
from shared.flows.ports.hubs import Hubs
from shared.flows.ports.ledger import SagaLedger, StaleVersionError
from shared.flows.ports.revocation import Revocation
from shared.flows.ports.work import Work

# What an operator waits for at most; the queue finishes.
BEGIN_SECONDS = 10.0
# A registration, an enrollment or a restore that was under way when the block came is over by then: DPS, hub and
# DigiCert ONE are looked at once more, and what they have missed is made up for.
CONFIRM_SECONDS = 60
_ATTEMPTS = 5
_RETRY = 60
# By this the statusReason of an identity says that it was disabled here.
_OURS = "Birthcert:"


class _OvertakenError(Exception):
    """Another saga has begun since this one was read."""


@dataclass(frozen=True, slots=True)
class _Read:
    """One reading of a device that has a saga."""

    known: Snapshot
    device: Device
    saga: Saga


@dataclass(frozen=True)
class Revoke:
    """`revocations` holds every label whose certificates can be revoked at DigiCert ONE."""

    profiles: Profiles
    ledger: SagaLedger
    enrollments: Enrollments
    hubs: Hubs
    revocations: Mapping[Label, Revocation]
    work: Work
    clock: Clock

    async def begin(
        self, device: DeviceId, verb: Verb, why: Reason, *, caller: str, comment: str, saga_id: str
    ) -> Saga:
        """The saga that does what is asked, as far as it has come within BEGIN_SECONDS.

        The same id again is the same request. Raises NotFound for an unknown device, Conflict when its state forbids
        the verb, Unavailable when nothing is begun.
        """
        wanted = saga(saga_id, verb, why, self.clock(), caller=caller, comment=comment)
        opened, latest = await self._open(device, wanted)
        if not latest:
            return opened
        try:
            async with asyncio.timeout(BEGIN_SECONDS):
                return await self.advance(device) or opened
        except (TimeoutError, Unavailable):
            with contextlib.suppress(Unavailable):  # the ledger has left a hint; the sweep finds it
                await self.work.saga(device)
            with contextlib.suppress(Unavailable):
                return (await self.ledger.load(device)).saga or opened
            return opened

    async def advance(self, device: DeviceId) -> Saga | None:
        """Bring everything outside to what the ledger says. None when the device has no saga.

        A step that is done is looked at again. Raises Unavailable when a step failed: come again.
        """
        for _ in range(_ATTEMPTS):
            read = _read(await self.ledger.load(device))
            if read is None:
                return None
            with contextlib.suppress(_OvertakenError):
                return await self._round(read)
        raise _too_fast("the device's record")

    async def _open(self, device: DeviceId, wanted: Saga) -> tuple[Saga, bool]:
        """The saga in the ledger that answers the request, and whether it is the device's latest."""
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(device)
            if known.device is None:
                raise NotFound("there is no such device")
            past = await self.ledger.past_saga(device, wanted.id)
            if past is not None:
                return check_same(past, wanted), False
            latest = standing(known.device.block, known.saga, wanted)
            if latest is not None:
                return latest, True
            change = opening(known.device, wanted)
            with contextlib.suppress(StaleVersionError):
                await self.ledger.commit(known, change)
                await tell(self.work, known, change)
                return wanted, True
        raise _too_fast("the device's record")

    async def _round(self, read: _Read) -> Saga:
        """Every step is tried, also after one that failed, and again when it was done: no block waits for a system that
        is down, and none that waits for one forgets to look whether it still stands elsewhere.

        But the hub's part counts only after DPS's: a registration in between could bring the identity back.
        """
        failures: list[Refusal] = []
        for step in read.saga.steps:
            if step.name == "announce" and (failures or step.done_at is not None):
                continue
            outcome = await self._try(step.name, read)
            if step.name == "hub" and failures and outcome.failure is None:
                continue
            read = await self._note(read, step.name, outcome)
            if outcome.failure is not None:
                failures.append(outcome.failure)
        if failures:
            raise _unavailable(failures)
        return read.saga

    async def _try(self, name: StepName, read: _Read) -> Outcome:
        """One step. A refusal is an outcome: it is written down, and the step is tried again."""
        try:
            match name:
                case "dps":
                    await self._dps(read.device, read.saga)
                case "hub":
                    await self._hub(read.device, read.saga)
                case "digicert":
                    return await self._digicert(read)
                case "announce":  # first, so that no saga ends without its confirmation on the way
                    await self.work.saga(read.device.device_id, CONFIRM_SECONDS)
                case _:
                    assert_never(name)
        except Refusal as refusal:
            return Outcome(failure=refusal)
        return Outcome()

    async def _note(self, read: _Read, name: StepName, outcome: Outcome) -> _Read:
        """Write down what a step has come to, beside whatever else has happened to the device meanwhile."""
        for _ in range(_ATTEMPTS):
            change = noted(read.known, read.device, read.saga, name=name, outcome=outcome, now=self.clock())
            if change.saga is None and not change.certificates:  # nor may the step have undone what a later saga did
                return _same(await self.ledger.load(read.device.device_id), read.saga)
            try:
                known = await self.ledger.commit(read.known, change)
            except StaleVersionError:
                read = _same(await self.ledger.load(read.device.device_id), read.saga)
                continue
            await tell(self.work, read.known, change)
            return _same(known, read.saga)
        raise _too_fast("the device's record")

    async def _dps(self, device: Device, begun: Saga) -> None:
        if begun.verb != "restore":
            await self.enrollments.block(device.device_id)
            return
        await self.enrollments.unblock(device.device_id)
        # Its rotation goes on, and if it was blocked before it had an enrollment it gets one now.
        await self.work.settle(device.device_id, device.label)

    async def _hub(self, device: Device, begun: Saga) -> None:
        """In every hub where the device may be: it may have moved, and the event that tells may come hours later."""
        profile = self.profiles.by_label.get(device.label)
        names = (*(profile.hubs if profile else ()), device.hub)
        for hub in {name.lower(): name for name in names if name}.values():
            if begun.verb == "decommission":
                await self.hubs.remove(hub, device.device_id)
            else:
                await self._enable(hub, device.device_id, begun)

    async def _enable(self, hub: str, device: DeviceId, begun: Saga) -> None:
        """A restore leaves closed what somebody else has closed."""
        wanted = begun.verb == "restore"
        for _ in range(_ATTEMPTS):
            identity = await self.hubs.identity(hub, device)
            if identity is None or identity.enabled == wanted or (wanted and not identity.why.startswith(_OURS)):
                return
            why = f"{_OURS} {begun.verb}, {begun.reason.value}"
            with contextlib.suppress(StaleVersionError):
                await self.hubs.set_enabled(hub, device, identity, enabled=wanted, why=why)
                return
        raise _too_fast("the hub identity")

    async def _digicert(self, read: _Read) -> Outcome:
        """Every certificate that is alive; those that are revoked are written down also when another one fails."""
        revoked: set[str] = set()
        failure: Refusal | None = None
        for one in read.known.certificates:
            if is_live(one, self.clock()):
                try:
                    await self._revocation(one).revoke(one, read.saga.reason, read.saga.comment)
                except Refusal as refusal:
                    failure = refusal
                else:
                    revoked.add(one.certificate.serial)
        return Outcome(frozenset(revoked), failure)

    def _revocation(self, certificate: LedgerCertificate) -> Revocation:
        found = self.revocations.get(certificate.label)
        if found is None:
            remedy = f"profiles.{certificate.label}.upstream.lookup: is needed to revoke at DigiCert ONE"
            raise Misconfigured("the service is not set up correctly", cause=remedy)
        return found


def _read(known: Snapshot) -> _Read | None:
    return _Read(known, known.device, known.saga) if known.device is not None and known.saga is not None else None


def _same(known: Snapshot, begun: Saga) -> _Read:
    """The new reading, if it is still this saga's turn."""
    read = _read(known)
    if read is None or read.saga.id != begun.id:
        raise _OvertakenError
    return read


def _unavailable(failures: list[Refusal]) -> Unavailable:
    wait = max(one.retry_after if isinstance(one, Again) else _RETRY for one in failures)
    cause = "; ".join(f"{one.public}: {one.cause}" for one in failures)
    return Unavailable("the device is blocked, but not yet everywhere; try again", retry_after=wait, cause=cause)


def _too_fast(what: str) -> Unavailable:
    return Unavailable(f"{what} is changing too fast; try again", retry_after=5)
