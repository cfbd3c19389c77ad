"""Who asks is proven: authorize by the profile, issue once, and let the certificate in beside the one in use.

The one way to a certificate, for a device at the EST endpoint, an operator's request, and each row of a batch.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core.adoption import Seen
from shared.core.certificate import certificate, serial_hex
from shared.core.csr import SigningRequest
from shared.core.errors import IssuedWhileBlocked, OutcomeUnknown, Unavailable
from shared.core.est import Operation
from shared.core.fleet import BatchRow, Block, LedgerCertificate, Snapshot, Source
from shared.core.identity import DeviceId
from shared.core.policy import authorize, check_once_in_batch, check_request, claim_key
from shared.core.principal import IssuedDevice, OneTimePasscodeHolder, Principal
from shared.core.profile import IndividualEnrollment, Label, Profile
from shared.flows.adopt import Adopt
from shared.flows.once import Once
from shared.flows.order import Order
from shared.flows.ports.issuance import Pending, Upstream
from shared.flows.rotate import Rotate

# Shorter than the lease of a claim (once.py), so that none who comes after it finds somebody still at work.
ISSUE_SECONDS: Final = 23.0
# By then a look-up that was not broken off has left nothing to do.
LEFT_OVER_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """One wish for a certificate of this device, by whom, how and with which request. `batch` says whose row it is."""

    device_id: DeviceId
    principal: Principal
    operation: Operation
    request: SigningRequest
    source: Source
    batch: BatchRow | None = None


@dataclass(frozen=True)
class Issue:
    """`upstreams` holds DigiCert ONE for each label."""

    upstreams: Mapping[Label, Upstream]
    once: Once
    rotate: Rotate
    adopt: Adopt

    async def is_answered(self, profile: Profile, asked: Asked) -> bool:
        """Whether the ledger holds the certificate already, so that DigiCert ONE will not be asked.

        Raises as `issue` what is refused here, before DigiCert ONE is asked.
        """
        key, admit = _decision(profile, asked, self.once)
        known = await self.once.ledger.load(asked.device_id, key)
        admit(known)
        return self.once.answered(profile, known) is not None

    async def issue(self, profile: Profile, asked: Asked) -> LedgerCertificate | Pending:
        """A certificate for the request; it may be one that the same request was given before. Raises every Refusal."""
        try:
            async with asyncio.timeout(ISSUE_SECONDS):
                return await self._issue(profile, asked)
        except TimeoutError as error:
            raise OutcomeUnknown("it took too long; send the same request again", retry_after=10) from error

    async def _issue(self, profile: Profile, asked: Asked) -> LedgerCertificate | Pending:
        await self.once.chains.current(profile.label)  # nothing is ordered that could not be checked afterwards
        device, principal, request = asked.device_id, asked.principal, asked.request
        key, admit = _decision(profile, asked, self.once)
        known = await self._known(profile, asked, key)
        renewed = admit(known)
        order = Order(
            device,
            profile,
            request,
            key,
            admit,
            source=asked.source,
            renews=renewed.digicert_id if renewed else "",
            presented=_shown_serial(principal),
            salt=principal.salt if isinstance(principal, OneTimePasscodeHolder) else b"",
            batch=asked.batch,
        )
        try:
            outcome = await self.once.issue(order, known, self.upstreams[profile.label])
        except IssuedWhileBlocked:
            with contextlib.suppress(Unavailable):  # then the next look at the saga finds the certificate
                await self.rotate.work.saga(device)
            raise
        if isinstance(outcome, Pending):
            return outcome
        shown = _presented(principal, known, profile)
        if shown or known.certificates or isinstance(profile.dps, IndividualEnrollment):
            # The first certificate of a group's device takes nothing's place, and costs no other call.
            await self.rotate.begin(device, profile, shown)
        return outcome

    async def _known(self, profile: Profile, asked: Asked, key: str) -> Snapshot:
        """What the ledger knows of the device, once it knows the certificate that the device has come with.

        One that came by another way is adopted first: DigiCert ONE may have revoked it, which its CA would not tell.
        Until the device has its first certificate of ours it is asked each time: the try before may have stopped
        between taking it in and blocking the device. What is left over the queue makes up for.
        """
        ledger, principal = self.once.ledger, asked.principal
        known = await ledger.load(asked.device_id, key)
        if not isinstance(principal, IssuedDevice) or _is_vouched_for(known, principal):
            return known
        leaf = principal.certificate
        label = known.device.label if known.device and known.certificates else profile.label
        shown = Seen(label, asked.device_id, leaf.fingerprint(SHA256()).hex(), leaf.public_bytes(Encoding.DER))
        if known.certificate(_shown_serial(principal)) is None:
            await self.adopt.work.adopt(shown, LEFT_OVER_SECONDS)
        await self.adopt.look_up(shown)
        return await ledger.load(asked.device_id, key)


def _decision(profile: Profile, asked: Asked, once: Once) -> tuple[str, Callable[[Snapshot], LedgerCertificate | None]]:
    """The key of the claim, and who decides each time that the ledger was read. Raises Malformed, Forbidden."""
    check_request(profile.request, asked.request, asked.device_id)

    def admit(known: Snapshot) -> LedgerCertificate | None:
        # A request that was answered may be repeated, as long as it would be given that same answer.
        seen = known if once.answered(profile, known) else replace(known, claim=None)
        if asked.batch:
            check_once_in_batch(known, asked.batch)
        return authorize(profile, asked.operation, asked.principal, asked.request, seen)

    return claim_key(profile, asked.request, _shown_serial(asked.principal)), admit


def _is_vouched_for(known: Snapshot, principal: IssuedDevice) -> bool:
    """Whether the certificate was issued here, or its device has had one since it was adopted, or is blocked."""
    device, held = known.device, known.certificate(serial_hex(principal.certificate))
    if device is None or held is None:
        return False
    return held.source != "adopted" or held.certificate.serial != device.latest or device.block is not Block.NONE


def _shown_serial(principal: Principal) -> str:
    return serial_hex(principal.certificate) if isinstance(principal, IssuedDevice) else ""


def _presented(principal: Principal, known: Snapshot, profile: Profile) -> LedgerCertificate | None:
    """The certificate of ours that the device came with, also when the ledger has forgotten it."""
    if not isinstance(principal, IssuedDevice):
        return None
    forgotten = LedgerCertificate(certificate(principal.certificate), profile.label, source="adopted")
    return known.certificate(forgotten.certificate.serial) or forgotten
