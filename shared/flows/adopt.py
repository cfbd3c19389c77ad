"""Adoption: certificates that came by SCEP, ACME, CMPv2, REST, the portal or the factory get the same life.

Somebody imports them, or DPS or a hub shows one that the ledger does not know. DigiCert ONE is asked about each: one
that it has revoked blocks its device, as it would on the CRL, which tells nothing a second time (revocation_sync.py).
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core import adoption, births
from shared.core.adoption import Outcome, Seen
from shared.core.errors import Again, Forbidden, Misconfigured, Refusal, Unavailable, UpstreamRefused
from shared.core.fleet import Block
from shared.core.identity import DeviceId
from shared.core.profile import Label, Profile, Profiles
from shared.core.table_rows import TableRow
from shared.flows.issuers import Issuers
from shared.flows.ports.clock import Clock
from shared.flows.ports.inventory import Inventory
from shared.flows.ports.issuance import Answer
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
class _Found:
    """What was seen, whole, and whether DigiCert ONE lists it as revoked."""

    leaf: x509.Certificate
    digicert_id: str = ""
    is_revoked: bool = False


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
    ledger: Ledger
    provision: Provision
    revoked: RevokedDevices
    work: Work
    clock: Clock

    async def take(
        self, profile: Profile, leaf: x509.Certificate, digicert_id: str = "", *, is_revoked: bool = False
    ) -> Adopted:
        """Take the certificate in. Safe to repeat. Raises Forbidden, Conflict, Unavailable."""
        try:
            await self.chains.check_issuer(profile.label, leaf)
        except UpstreamRefused as error:
            raise Forbidden("no CA of this label has signed the certificate", cause=error.cause) from error
        device, kept = adoption.read(leaf, profile, digicert_id, self.clock())
        serial = kept.certificate.serial
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(device)
            change = adoption.adopted(known, profile, device, kept, self.clock(), is_revoked=is_revoked)
            if change is None:
                return Adopted(device, serial, "known")
            await self.issuers.note(kept.certificate)
            # Of days that are over the scan looks at none.
            due = max(self.clock(), kept.certificate.renewal_due(profile.renewal_point)).date()
            try:
                await self.ledger.adopt(known, change, due)
            except StaleVersionError:
                continue
            await self._follow(device, profile, blocked=change.device.block is not Block.NONE)
            return Adopted(device, serial, "adopted")
        raise Unavailable("the device's record is changing too fast; try again", retry_after=5)

    async def _follow(self, device: DeviceId, profile: Profile, *, blocked: bool) -> None:
        """Hub and enrollment learn of it; of a blocked device it is revoked with the others."""
        await self.work.publish(device)
        if blocked:
            await self.work.saga(device)
        else:
            await self.work.settle(device, profile.label)

    async def take_all(self, profile: Profile, rows: Sequence[TableRow]) -> list[Taken]:
        """Each row for itself. Raises Unavailable and its kind, Misconfigured: the same again does the rest.

        Whether DigiCert ONE has revoked them the queue finds out afterwards.
        """
        free = asyncio.Semaphore(_AT_ONCE)

        async def one(row: TableRow) -> Taken:
            async with free:
                try:
                    leaf = births.leaf(row)
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
        if profile.label in self.inventories:
            thumbprint, der = leaf.fingerprint(SHA256()).hex(), leaf.public_bytes(Encoding.DER)
            seen = Seen(profile.label, taken.device_id, thumbprint, der)
            await self.work.adopt(seen, delay=number // _LOOKED_UP_PER_SECOND)

    async def look_up(self, seen: Seen) -> Adopted | NotTaken:
        """Take in what was seen, if one of our CAs has issued it. Safe to repeat.

        Raises Unavailable and its kind, and Misconfigured: then it is to be looked up again. Raises UpstreamRefused,
        which is for an operator to look at.
        """
        reason = "DigiCert ONE lists no such certificate"
        for profile in self._candidates(seen):
            found = await self._found(profile, seen)
            if found is None:
                continue
            try:
                adopted = await self.take(profile, found.leaf, found.digicert_id, is_revoked=found.is_revoked)
            except (Again, Misconfigured):
                raise
            except Refusal as refusal:
                reason = refusal.public  # another label may be the right one
                continue
            if seen.hub:
                await self.provision.device_created(seen.hub, adopted.device_id)
            if found.is_revoked:
                await self._block(profile, adopted)
            return adopted
        return NotTaken(reason)

    async def _block(self, profile: Profile, adopted: Adopted) -> None:
        """As if the list of what is revoked had told it."""
        looked = await self.revoked.on_list([adopted.serial], crl_tells=bool(profile.crl_urls))
        if looked.failures:
            raise looked.failures[0]

    def _candidates(self, seen: Seen) -> list[Profile]:
        by_label = self.profiles.by_label
        if seen.label in by_label:
            return [by_label[seen.label]]
        return [one for one in by_label.values() if not seen.hub or seen.hub in one.hubs]

    async def _found(self, profile: Profile, seen: Seen) -> _Found | None:
        """The certificate that was seen: out of DigiCert ONE's lists, or as it came."""
        inventory = self.inventories.get(profile.label)
        if inventory is not None:
            valid = _among(await inventory.named(seen.common_name), seen)
            if valid is not None:
                return _Found(valid.certificates[0], valid.digicert_id)
            revoked = _among(await inventory.revoked(seen.common_name), seen)
            if revoked is not None:
                return _Found(revoked.certificates[0], revoked.digicert_id, is_revoked=True)
        return _Found(x509.load_der_x509_certificate(seen.certificate)) if seen.certificate else None


def _among(listed: Iterable[Answer], seen: Seen) -> Answer | None:
    """The one that was seen. IoT Hub takes SHA-1 thumbprints too."""
    wanted = seen.thumbprint.lower()
    for answer in listed:
        leaf = answer.certificates[0]
        if wanted in (leaf.fingerprint(SHA256()).hex(), leaf.fingerprint(SHA1()).hex()):  # noqa: S303 - IoT Hub's
            return answer
    return None
