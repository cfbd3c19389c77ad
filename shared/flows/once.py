"""Issue once: the one place for idempotency. DigiCert ONE has no idempotency key, and certificates cost money.

The same key and names from the same device get the same certificate. Before DigiCert ONE is asked, a claim with a
lease is written; a claim whose outcome is unknown stays, and the next try asks DigiCert ONE for a certificate with
that public key before it orders another.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.core.certificate import certificate, check_issued
from shared.core.csr import SigningRequest
from shared.core.errors import Forbidden, OutcomeUnknown, Refusal, Throttled, Unavailable, UpstreamRefused
from shared.core.fleet import Block, Claim, Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.core.profile import Profile, RestUpstream
from shared.flows.ports import Answer, Clock, Ledger, Pause, Pending, StaleVersionError, Upstream
from shared.flows.trust import Chains

# Longer than one request may take, so that only a request that died leaves a lease behind.
LEASE = timedelta(seconds=30)
# How long a second, equal request waits for the first before it is told to come back.
PATIENCE = timedelta(seconds=12)
# How long an order whose answer was lost may still be worked on at DigiCert ONE.
SETTLING = timedelta(seconds=5)
_WAIT = 0.3
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Order:
    """One wish for a certificate, already authorized. `renews` is DigiCert ONE's id of what it renews, or empty."""

    device_id: DeviceId
    profile: Profile
    request: SigningRequest
    claim_key: str
    renews: str = ""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The claim is ours. `doubtful` when an earlier holder left without telling what became of it."""

    known: Snapshot
    device: Device
    claim: Claim
    doubtful: bool
    pending: bool


@dataclass(frozen=True)
class Once:
    """Issues at most one certificate per claim."""

    ledger: Ledger
    chains: Chains
    clock: Clock
    pause: Pause

    async def issue(self, order: Order, known: Snapshot, upstream: Upstream) -> LedgerCertificate | Pending:
        """The certificate of the order: the recorded one, one found at DigiCert ONE, or a new one."""
        claimed = await self._claim(order, known)
        if isinstance(claimed, LedgerCertificate):
            return claimed
        answer = await self._ask(order, claimed, upstream)
        if isinstance(answer, Pending):
            await self._mark(claimed, replace(claimed.claim, state="pending", lease_until=self.clock()))
            return answer
        try:
            issued = await self._checked(order, answer)
        except Refusal:
            await self._doubt(claimed)
            raise
        return await self._record(order, claimed, issued)

    async def _claim(self, order: Order, known: Snapshot) -> Claimed | LedgerCertificate:
        """Our claim, or the certificate that an earlier claim has led to."""
        give_up = self.clock() + PATIENCE
        while True:
            now = self.clock()
            claim = known.claim
            if claim is not None and claim.state == "issued":
                issued = self._reusable(order, known, claim, now)
                if issued is not None:
                    return issued
            if claim is not None and claim.state == "open" and claim.lease_until > now:
                if now >= give_up:
                    raise Unavailable("the same request is being worked on; try again", retry_after=5)
                await self.pause(_WAIT)
            else:
                try:
                    return await self._take(order, known, now)
                except StaleVersionError:
                    pass  # an equal request was faster, or the device changed: read again and decide again
            known = await self.ledger.load(order.device_id, order.claim_key)

    def _reusable(self, order: Order, known: Snapshot, claim: Claim, now: datetime) -> LedgerCertificate | None:
        """The recorded answer, unless it is revoked or so old that the request must be meant as a renewal."""
        issued = known.certificate(claim.serial)
        if issued is None or issued.status == "revoked":
            return None
        return issued if now < issued.certificate.renewal_due(order.profile.renewal_point) else None

    async def _take(self, order: Order, known: Snapshot, now: datetime) -> Claimed:
        device = known.device or Device(order.device_id, order.profile.label, created=now)
        if device.block is not Block.NONE:
            raise Forbidden("the device is blocked")
        doubtful = known.claim is not None and known.claim.state == "open"
        if known.claim is None or known.claim.state == "issued":
            device = self._counted(device, order.profile, now)
        pending = known.claim is not None and known.claim.state == "pending"
        claim = Claim(order.claim_key, "open", now + LEASE)
        return Claimed(await self.ledger.claim(known, device, claim), device, claim, doubtful, pending)

    def _counted(self, device: Device, profile: Profile, now: datetime) -> Device:
        count = device.issued_count if device.issued_on == now.date() else 0
        if count >= profile.daily_limit:
            midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), now.tzinfo)
            raise Throttled(
                f"the device has reached its limit of {profile.daily_limit} certificates a day",
                retry_after=max(60, int((midnight - now).total_seconds())),
            )
        return replace(device, issued_on=now.date(), issued_count=count + 1)

    async def _ask(self, order: Order, claimed: Claimed, upstream: Upstream) -> Answer | Pending:
        """What DigiCert ONE has, or gives. A refusal leaves the claim as certain as it is."""
        if claimed.doubtful:
            try:
                found = await upstream.find(order.request)
            except Refusal:
                await self._doubt(claimed)
                raise
            if found is not None:
                return found
        try:
            if claimed.pending:
                return await upstream.poll(order.request)
            return await upstream.issue(order.request, order.renews)
        except Refusal as refusal:
            await (self._doubt(claimed) if _may_have_issued(refusal) else self._release(claimed))
            raise

    async def _checked(self, order: Order, answer: Answer) -> LedgerCertificate:
        leaf = check_issued(answer.certificates, order.request, self.clock())
        await self.chains.check_issuer(order.profile.label, leaf)
        return LedgerCertificate(
            certificate(leaf),
            order.profile.label,
            source="rest" if isinstance(order.profile.upstream, RestUpstream) else "est",
            digicert_id=answer.digicert_id,
        )

    async def _record(self, order: Order, claimed: Claimed, issued: LedgerCertificate) -> LedgerCertificate:
        """Write the certificate down; the device may have changed since it was read, its claim cannot have."""
        known, device = claimed.known, claimed.device
        serial = issued.certificate.serial
        due = issued.certificate.renewal_due(order.profile.renewal_point).date()
        claim = replace(claimed.claim, state="issued", serial=serial)
        for _ in range(_ATTEMPTS):
            updated = replace(device, label=order.profile.label, latest=serial)
            try:
                await self.ledger.record(known, updated, claim, issued, due)
            except StaleVersionError:
                known = await self.ledger.load(order.device_id, order.claim_key)
                device = known.device or device
            else:
                return issued
        raise Unavailable("the device's record is changing too fast; try again", retry_after=5)

    async def _doubt(self, claimed: Claimed) -> None:
        """End the lease soon: the next try must look before it orders, and not while the CA may still be at it."""
        await self._mark(claimed, replace(claimed.claim, lease_until=self.clock() + SETTLING))

    async def _mark(self, claimed: Claimed, claim: Claim) -> None:
        try:
            await self.ledger.claim(claimed.known, claimed.device, claim)
        except (StaleVersionError, Unavailable):
            return  # the claim stays open and its lease runs out by itself: later, and just as safe

    async def _release(self, claimed: Claimed) -> None:
        """Nothing was issued: the claim goes, and the count with it."""
        device = replace(claimed.device, issued_count=max(0, claimed.device.issued_count - 1))
        try:
            await self.ledger.release(claimed.known, device)
        except (StaleVersionError, Unavailable):
            return  # as above: an open claim costs one look-up more, and nothing else


def _may_have_issued(refusal: Refusal) -> bool:
    match refusal:
        case OutcomeUnknown():
            return True
        case UpstreamRefused():
            return not refusal.nothing_issued
        case _:
            return False
