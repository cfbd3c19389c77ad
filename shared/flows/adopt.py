"""Adoption: certificates that came by SCEP, ACME, CMPv2, REST, the portal or the factory get the same life.

Somebody imports them, or DPS, a hub or EST shows one that the ledger does not know. DigiCert ONE is asked about each,
and the label's CRLs as they were read last: what was told of it before it was known is not told again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core import adoption, births
from shared.core.adoption import Outcome, Seen
from shared.core.certificate import is_issued_by
from shared.core.errors import Again, Forbidden, Misconfigured, Refusal, Unavailable, UpstreamRefused
from shared.core.fleet import Block, Change, Snapshot
from shared.core.identity import DeviceId, RegistrationKey, registration_key
from shared.core.issuer import names_of
from shared.core.profile import Label, Profile, Profiles
from shared.core.table_rows import TableRow
from shared.flows.crl_reader import CrlMarks, Standing
from shared.flows.issuers import Issuers
from shared.flows.listed import Found, find
from shared.flows.ports.clock import Clock
from shared.flows.ports.inventory import Inventory
from shared.flows.ports.ledger import Ledger, StaleVersionError
from shared.flows.ports.work import Work
from shared.flows.provision import Provision
from shared.flows.revoked_devices import RevokedDevices
from shared.flows.trust import Chains

_ATTEMPTS: Final = 5
_AT_ONCE: Final = 16
# An import of 5,000 certificates would take DigiCert ONE's attention from devices that wait.
_LOOKED_UP_PER_SECOND: Final = 5


@dataclass(frozen=True, slots=True)
class Adopted:
    """`outcome` says whether the ledger has learnt something."""

    device_id: DeviceId
    serial: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class NotTaken:
    """What was seen is none of ours, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an imported row."""

    row: TableRow
    outcome: Outcome | Literal["refused"]
    serial: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Adopt:
    """`inventories` holds the labels whose certificates can be looked up at DigiCert ONE."""

    profiles: Profiles
    chains: Chains
    issuers: Issuers
    inventories: Mapping[Label, Inventory]
    crl_marks: CrlMarks
    ledger: Ledger
    provision: Provision
    revoked: RevokedDevices
    work: Work
    clock: Clock

    async def take(self, profile: Profile, leaf: x509.Certificate) -> Adopted:
        """Take in what somebody has imported. Safe to repeat. Raises Forbidden, Conflict, Unavailable."""
        found = Found(leaf)
        adopted, standing = await self._take(profile, found)
        await self._block(profile, found, adopted, standing)
        return adopted

    async def _take(self, profile: Profile, found: Found, *, is_shown: bool = False) -> tuple[Adopted, Standing]:
        """With what the label's CRLs say of it. `is_shown`: the device has come with it, or its hub has it."""
        device, kept = adoption.read(found.leaf, profile, found.digicert_id, self.clock())
        standing = await self._standing(profile, found.leaf, kept.certificate.serial, is_shown=is_shown)
        is_revoked = found.is_revoked or standing != ""
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(device)
            change = adoption.adopted(
                known, profile, device, kept, self.clock(), is_revoked=is_revoked, is_shown=is_shown
            )
            outcome: Outcome = "adopted" if known.certificate(kept.certificate.serial) is None else "known"
            try:
                after = await self._write(profile, known, change) if change is not None else known
            except StaleVersionError:
                continue
            if change is not None or not adoption.is_done(after, kept.certificate.serial):
                await self._follow(device, profile, after)
            return Adopted(device, kept.certificate.serial, outcome), standing
        raise Unavailable("the device's record is changing too fast; try again", retry_after=5)

    async def _standing(self, profile: Profile, leaf: x509.Certificate, serial: str, *, is_shown: bool) -> Standing:
        """What the label's CRLs say of the certificate; one that they have told of before, they tell nothing of again.

        Raises Forbidden for a certificate of another CA. What DPS, a hub or EST has shown is not there at will, and
        nobody shows it a second time: for that the chain is fetched anew in any case.
        """
        try:
            await self.chains.check_issuer(profile.label, leaf, new=is_shown)
        except UpstreamRefused as error:
            raise Forbidden("no CA of this label has signed the certificate", cause=error.cause) from error
        if not profile.crl_urls:
            return ""
        signers = {names_of(one)[0] for one in await self.chains.current(profile.label) if is_issued_by(leaf, (one,))}
        return await self.crl_marks.standing(profile.crl_urls, signers, serial)

    async def _write(self, profile: Profile, known: Snapshot, change: Change) -> Snapshot:
        (kept,) = change.certificates
        await self.issuers.note(kept.certificate)
        # Of days that are over the scan looks at none.
        due = max(self.clock(), kept.certificate.renewal_due(profile.renewal_point)).date()
        return await self.ledger.adopt(known, change, due)

    async def _follow(self, device: DeviceId, profile: Profile, known: Snapshot) -> None:
        """Hub and enrollment learn of it; of a blocked device it is revoked with the others. The outbox is swept."""
        if known.device is not None and known.device.block is not Block.NONE:
            await self.work.saga(device)
        else:
            await self.work.settle(device, profile.label)
        if known.outbox:
            await self.work.publish(device)

    async def _block(self, profile: Profile, found: Found, taken: Adopted, standing: Standing) -> None:
        """As if DigiCert ONE's list of what is revoked had told it: a CRL's marks do not tell the reason either.

        A hold on the CRL is left to the CRL once the certificate is known, because it is told again; or a hold that an
        operator has undone would come again.
        """
        if standing == "hold" and taken.outcome == "known":
            return
        if standing or found.is_revoked:
            looked = await self.revoked.on_list([taken.serial], crl_tells=bool(profile.crl_urls))
            if looked.failures:
                raise looked.failures[0]

    async def take_all(self, profile: Profile, rows: Sequence[TableRow]) -> list[Taken]:
        """Each row for itself. Raises Unavailable and its kind, Misconfigured: the same again does the rest.

        Those of one device go one after the other: they are written into one record. Whether DigiCert ONE has revoked
        them the queue finds out afterwards.
        """
        free = asyncio.Semaphore(_AT_ONCE)
        queues: dict[RegistrationKey, asyncio.Lock] = defaultdict(asyncio.Lock)

        async def one(row: TableRow) -> Taken:
            async with free:
                try:
                    leaf = births.leaf(row)
                    device, _ = adoption.read(leaf, profile, "", self.clock())
                    async with queues[registration_key(device)]:
                        taken = await self.take(profile, leaf)
                except (Again, Misconfigured):
                    raise
                except Refusal as refusal:
                    return Taken(row, "refused", reason=refusal.public)
                await self._check_later(profile, taken, leaf, row.number)
                shown = replace(row, values={**row.values, "device_id": taken.device_id})
                return Taken(shown, taken.outcome, taken.serial)

        ended = await asyncio.gather(*(one(row) for row in rows), return_exceptions=True)
        for failure in ended:
            if isinstance(failure, BaseException):
                raise failure
        return [one for one in ended if isinstance(one, Taken)]

    async def _check_later(self, profile: Profile, taken: Adopted, leaf: x509.Certificate, number: int) -> None:
        """Once more with the CRLs too: one may have been read at this moment, before the certificate was known."""
        if profile.label in self.inventories or profile.crl_urls:
            thumbprint, der = leaf.fingerprint(SHA256()).hex(), leaf.public_bytes(Encoding.DER)
            seen = Seen(profile.label, taken.device_id, thumbprint, der)
            await self.work.adopt(seen, delay=number // _LOOKED_UP_PER_SECOND)

    async def look_up(self, seen: Seen) -> Adopted | NotTaken:
        """Take in what was seen, if one of our CAs has issued it. Safe to repeat.

        Raises Unavailable and its kind, and Misconfigured: then it is to be looked up again. Raises UpstreamRefused,
        which is for an operator to look at: a list could not be read, and no other label has taken the certificate.
        """
        reason, unread = "DigiCert ONE lists no such certificate", None
        for profile in self._candidates(seen):
            try:
                found = await find(self.inventories.get(profile.label), seen)
                if found is None:
                    continue
                adopted, standing = await self._take(profile, found, is_shown=True)
            except (Again, Misconfigured):
                raise
            except UpstreamRefused as refusal:
                unread = unread or refusal
                continue
            except Refusal as refusal:
                reason = refusal.public  # another label may be the right one
                continue
            if seen.hub:
                await self.provision.device_created(seen.hub, adopted.device_id)
            await self._block(profile, found, adopted, standing)
            return adopted
        if unread is not None:
            raise unread
        return NotTaken(reason)

    def _candidates(self, seen: Seen) -> list[Profile]:
        by_label = self.profiles.by_label
        if seen.label in by_label:
            return [by_label[seen.label]]
        return [one for one in by_label.values() if not seen.hub or seen.hub in one.hubs]
