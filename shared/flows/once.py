"""Issue once: the one place for idempotency. DigiCert ONE has no idempotency key, and certificates cost money.

The same key and names from the same device get the same certificate. Before DigiCert ONE is asked, a claim with a
lease is written; a claim whose outcome is unknown stays, and the next try asks DigiCert ONE for a certificate with
that public key before it orders another.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.core import issuance
from shared.core.certificate import certificate, check_issued, serial_hex
from shared.core.errors import DailyLimit, IssuedWhileBlocked, OutcomeUnknown, Refusal, Unavailable, UpstreamRefused
from shared.core.fleet import Block, Claim, Device, LedgerCertificate, Snapshot
from shared.core.passcode import OneTimePasscode
from shared.core.profile import Profile, RestUpstream
from shared.flows.issuers import Issuers
from shared.flows.order import Order
from shared.flows.ports.clock import Clock, Pause
from shared.flows.ports.issuance import Answer, Pending, Upstream
from shared.flows.ports.ledger import Ledger, StaleVersionError
from shared.flows.trust import Chains

# Longer than one request may take, so that only a request that died leaves a lease behind.
LEASE = timedelta(seconds=30)
# How long a second, equal request waits for the first before it is told to come back.
PATIENCE = timedelta(seconds=12)
# How long an order whose answer was lost may still be worked on at DigiCert ONE.
SETTLING = timedelta(seconds=5)
_WAIT = 0.3
_ATTEMPTS = 5
# A certificate that is paid for is not given up easily.
_RECORD_ATTEMPTS = 8
_POLL_AFTER = 60
_UNREADABLE = "the CA's answer cannot be read; send the same request again"
_LOOK_AFTER = 10


@dataclass(frozen=True, slots=True)
class Claimed:
    """The claim is ours. `doubtful` when an earlier holder left without telling what became of it.

    `counted` when the order that follows was added to the device's daily count.
    """

    known: Snapshot
    device: Device
    claim: Claim
    doubtful: bool
    counted: bool


@dataclass(frozen=True)
class Once:
    """Issues at most one certificate per claim."""

    ledger: Ledger
    chains: Chains
    issuers: Issuers
    clock: Clock
    pause: Pause

    async def issue(self, order: Order, known: Snapshot, upstream: Upstream) -> LedgerCertificate | Pending:
        """The certificate of the order: the recorded one, one found at DigiCert ONE, or a new one."""
        claimed = await self._claim(order, known)
        if isinstance(claimed, LedgerCertificate):
            return claimed
        answer = await self._ask(order, claimed, upstream)
        if isinstance(answer, Pending):
            await self._leave(order, claimed, replace(claimed.claim, state="pending", lease_until=self.clock()))
            return answer
        return await self._record(order, claimed, await self._checked(order, claimed, answer))

    def answered(self, profile: Profile, known: Snapshot) -> LedgerCertificate | None:
        """What the claim has led to, unless it is revoked or so old that the request must be meant as a renewal."""
        claim = known.claim
        issued = known.certificate(claim.serial) if claim and claim.state == "issued" else None
        if issued is None or issued.status == "revoked":
            return None
        return issued if self.clock() < issued.certificate.renewal_due(profile.renewal_point) else None

    async def _claim(self, order: Order, known: Snapshot) -> Claimed | LedgerCertificate:
        """Our claim, or the certificate that an earlier claim has led to."""
        give_up = self.clock() + PATIENCE
        while True:
            issued = self.answered(order.profile, known)
            if issued is not None:
                return issued
            now, claim = self.clock(), known.claim
            if claim is not None and claim.state != "issued" and claim.lease_until > now:
                if now >= give_up:
                    raise Unavailable("the same request is being worked on; try again", retry_after=5)
                await self.pause(_WAIT)
            else:
                try:
                    return await self._take(order, known, now)
                except StaleVersionError:
                    pass  # an equal request was faster, or the device changed: read again and decide again
            known = await self.ledger.load(order.device_id, order.claim_key)
            order.admit(known)

    async def _take(self, order: Order, known: Snapshot, now: datetime) -> Claimed:
        """A claim that was pending stays so, also if this try dies: an order that waits must not be made again."""
        device = known.device or Device(order.device_id, order.profile.label, created=now)
        if order.salt and device.passcode is not None:
            if device.passcode.is_held(order.claim_key, now):
                raise Unavailable("the one-time passcode is being used by another request", retry_after=10)
            device = replace(device, passcode=device.passcode.held(order.claim_key, now + LEASE))
        state = known.claim.state if known.claim else ""
        counted = state in ("", "issued") or (state == "open" and not _can_look_up(order.profile))
        if counted:
            device = self._counted(device, order.profile, now)
        claim = Claim(order.claim_key, "pending" if state == "pending" else "open", now + LEASE)
        return Claimed(await self.ledger.claim(known, device, claim), device, claim, state == "open", counted)

    def _counted(self, device: Device, profile: Profile, now: datetime) -> Device:
        count = device.issued_count if device.issued_on == now.date() else 0
        if count >= profile.daily_limit:
            midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), now.tzinfo)
            raise DailyLimit(
                f"the device has reached its limit of {profile.daily_limit} certificates a day",
                retry_after=max(60, int((midnight - now).total_seconds())),
            )
        return replace(device, issued_on=now.date(), issued_count=count + 1)

    async def _ask(self, order: Order, claimed: Claimed, upstream: Upstream) -> Answer | Pending:
        """What DigiCert ONE has, or gives. A refusal leaves the claim as certain as it is."""
        if claimed.claim.state == "pending":
            return await self._poll(order, claimed, upstream)
        if claimed.doubtful:
            try:
                found = await upstream.find(order.request)
            except Refusal:
                await self._doubt(order, claimed)
                raise
            if found is not None and _is_new(found, claimed.known):
                return found
        try:
            return await upstream.issue(order.request, order.renews)
        except Refusal as refusal:
            if not _may_have_issued(refusal):
                await self._leave(order, claimed, None, uncount=claimed.counted)
                raise
            await self._doubt(order, claimed)
            if isinstance(refusal, UpstreamRefused):  # the next try finds out
                cause = f"{refusal.public}: {refusal.cause}"
                raise OutcomeUnknown(_UNREADABLE, retry_after=_LOOK_AFTER, cause=cause) from refusal
            raise

    async def _poll(self, order: Order, claimed: Claimed, upstream: Upstream) -> Answer | Pending:
        """Whatever the answer is, the order stands: only its certificate ends the claim."""
        try:
            answer = await upstream.poll(order.request)
        except Refusal:
            await self._leave(order, claimed, replace(claimed.claim, lease_until=self.clock()))
            raise
        if isinstance(answer, Answer) and not _is_new(answer, claimed.known):
            return Pending(_POLL_AFTER)
        return answer

    async def _checked(self, order: Order, claimed: Claimed, answer: Answer) -> LedgerCertificate:
        """The certificate, if it is what was ordered. One that is not is paid for: its claim goes, its count stays."""
        try:
            leaf = check_issued(answer.certificates, order.request, self.clock())
            await self.chains.check_issuer(order.profile.label, leaf, new=True)
            issued = certificate(leaf)
            await self.issuers.note(issued)
        except UpstreamRefused:
            await self._leave(order, claimed, None)
            raise
        except Unavailable:
            await self._doubt(order, claimed)
            raise
        return LedgerCertificate(
            issued,
            order.profile.label,
            source=order.source,
            digicert_id=answer.digicert_id,
            batch=order.batch,
        )

    async def _record(self, order: Order, claimed: Claimed, issued: LedgerCertificate) -> LedgerCertificate:
        """Write the certificate down; the device may have changed since it was read, its claim cannot have."""
        known, device = claimed.known, claimed.device
        serial = issued.certificate.serial
        due = issued.certificate.renewal_due(order.profile.renewal_point).date()
        claim = replace(claimed.claim, state="issued", serial=serial)
        for attempt in range(_RECORD_ATTEMPTS):
            newest = replace(device, label=order.profile.label, passcode=_passcode(order, device))
            change = issuance.change(known, newest, issued, order.presented, self.clock())
            try:
                await self.ledger.record(known, claim, change, due)
            except StaleVersionError:
                await self.pause(_WAIT * attempt)  # of several orders for one device one gets through each time
                known = await self.ledger.load(order.device_id, order.claim_key)
                device = known.device or device
                continue
            if device.block is not Block.NONE:
                raise IssuedWhileBlocked(
                    "the device is blocked"
                )  # meanwhile; the record lets its revocation be made up for
            return issued
        await self._doubt(order, claimed)
        raise Unavailable("the device's record is changing too fast; try again", retry_after=5)

    async def _doubt(self, order: Order, claimed: Claimed) -> None:
        """End the lease soon: the next try must look before it orders, and not while the CA may still be at it."""
        await self._leave(order, claimed, replace(claimed.claim, lease_until=self.clock() + SETTLING))

    async def _leave(self, order: Order, claimed: Claimed, claim: Claim | None, *, uncount: bool = False) -> None:
        """Leave the claim as it now stands, or remove it; `uncount` when nothing was issued.

        When that fails, the claim's lease runs out by itself: later, and just as safe.
        """
        known, device = claimed.known, claimed.device
        try:
            for _ in range(_ATTEMPTS):
                left = _released(order, _uncounted(device, claimed.device) if uncount else device)
                try:
                    await (self.ledger.claim(known, left, claim) if claim else self.ledger.release(known, left))
                except StaleVersionError:
                    known = await self.ledger.load(order.device_id, order.claim_key)
                    if known.claim != claimed.claim:
                        return  # no longer ours
                    device = known.device or device
                else:
                    return
        except Refusal:
            return


def _passcode(order: Order, device: Device) -> OneTimePasscode | None:
    """The transaction that records the certificate burns the passcode that it was given for."""
    return device.passcode.burnt(order.salt, order.claim_key) if order.salt and device.passcode else device.passcode


def _released(order: Order, device: Device) -> Device:
    """The device whose passcode another request may use now."""
    return replace(device, passcode=device.passcode.released(order.claim_key)) if device.passcode else device


def _uncounted(device: Device, counted: Device) -> Device:
    """The device without the one certificate that `counted` was counted for."""
    if device.issued_on != counted.issued_on:
        return device
    return replace(device, issued_count=max(0, device.issued_count - 1))


def _can_look_up(profile: Profile) -> bool:
    """Whether "not found" means that nothing was issued. If it does not, an order made again counts again."""
    return profile.lookup is not None or isinstance(profile.upstream, RestUpstream)


def _is_new(answer: Answer, known: Snapshot) -> bool:
    """Whether the answer is not a certificate that an earlier order of the same key has led to."""
    return not any(known.certificate(serial_hex(one)) for one in answer.certificates)


def _may_have_issued(refusal: Refusal) -> bool:
    match refusal:
        case OutcomeUnknown():
            return True
        case UpstreamRefused():
            return not refusal.nothing_issued
        case _:
            return False
