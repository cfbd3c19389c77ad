"""Revocations made elsewhere: what the CAs' CRLs and DigiCert ONE's own list hold blocks the device here too.

Neither DPS nor IoT Hub reads a CRL, so this is how a revocation at the CA reaches them.
"""

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from dataclasses import dataclass
from typing import Final

from shared.core.chain import issuing
from shared.core.errors import Refusal
from shared.core.issuer import names_of
from shared.core.profile import Label
from shared.flows.crl_reader import MOST_ENTRIES, Aside, CrlReader
from shared.flows.issuers import Issuers
from shared.flows.ports.clock import Clock
from shared.flows.ports.index import Index, Watermarks
from shared.flows.ports.ledger import Ledger
from shared.flows.ports.revocation import Crls, RevokedList
from shared.flows.revoke import Revoke
from shared.flows.revoked_devices import RevokedDevices
from shared.flows.trust import Chains

# How many pages of DigiCert ONE's list one run reads; the rest is for later runs.
MOST_PAGES: Final = 50


@dataclass(frozen=True, slots=True)
class Synced:
    """What a source has told: how many devices were newly blocked, and how many entries are left for later runs."""

    source: str
    blocked: int
    left: int


@dataclass(frozen=True, slots=True)
class Alert:
    """What an operator must look at: until it is mended, revocations may be missed."""

    source: str
    text: str


type Results = list[Synced | Alert]


@dataclass(frozen=True)
class RevocationSync:
    """`urls` are the configured addresses of the CRLs of each label's issuing CAs; no other address is ever asked."""

    urls: Mapping[Label, tuple[str, ...]]
    lists: Mapping[Label, RevokedList]
    crls: Crls
    chains: Chains
    issuers: Issuers
    index: Index
    ledger: Ledger
    watermarks: Watermarks
    revoke: Revoke
    clock: Clock
    most_entries: int = MOST_ENTRIES
    aside: Aside = asyncio.to_thread

    async def run(self) -> tuple[Synced | Alert, ...]:
        """Every source once. One that fails is an alert, and does not keep the others from being read."""
        results: Results = []
        for label, urls in self.urls.items():
            signers: list[str] = []
            for url in urls:
                results += await _guarded(url, self._crl(label, url, signers))
            if urls and len(signers) == len(urls):  # of a list that could not be read there is an alert already
                results += await _guarded(label, self._unlisted(label, signers))
        for label, listed in self.lists.items():
            results += await _guarded(f"digicert/{label}", self._list(label, listed))
        return tuple(results)

    @property
    def _devices(self) -> RevokedDevices:
        return RevokedDevices(self.index, self.ledger, self.revoke, self.clock)

    @property
    def _reader(self) -> CrlReader:
        return CrlReader(self.crls, self.watermarks, self._devices, self.clock, self.most_entries, self.aside)

    async def _crl(self, label: Label, url: str, signers: list[str]) -> Results:
        """One CRL; the CA whose it is goes to the signers."""
        read = await self._reader.read(url, await self.chains.current(label))
        signers.append(read.progress.signer)
        results: Results = [Synced(url, read.looked.blocked, read.left), *_failed(url, read.looked.failures)]
        if read.progress.overdue(self.clock()):
            expected = read.progress.next_update
            text = f"the CRL was to be replaced by {expected}: ask the CA why it publishes none"
            results.append(Alert(url, text))
        return results

    async def _unlisted(self, label: Label, signers: Collection[str]) -> Results:
        """CAs on whose CRL nobody looks: when an issuing CA follows another, an operator must add its address."""
        below = issuing(await self.chains.current(label))
        results: Results = []
        for one in below:
            if names_of(one)[0] not in signers and await self.issuers.has_live(one):
                name = one.subject.rfc4514_string()
                text = f"{name} has live certificates, and none of the label's CRLs is its: add the address to crl_urls"
                results.append(Alert(label, text))
        return results

    async def _list(self, label: Label, listed: RevokedList) -> Results:
        """The first page, where the newest are (as far as is known), then on from where the last run stopped.

        So the whole list is gone through again and again: nothing says in which order DigiCert ONE keeps it. What a CRL
        has as on hold is left to the CRL, or a hold that an operator has undone would come again.
        """
        name, source, urls = f"revoked-{label}", f"digicert/{label}", self.urls.get(label, ())
        holds = {serial for url in urls for serial in (await self._reader.progress(url)).holds}
        go_on = int(await self.watermarks.get(name) or 0)
        blocked, offset, failures = 0, 0, list[Refusal]()
        broken: Results = []
        try:
            for _ in range(MOST_PAGES):
                page = await listed.page(offset)
                serials = [one for one in page.serials if one not in holds]
                looked = await self._devices.on_list(serials, crl_tells=bool(urls))
                blocked, failures = blocked + looked.blocked, [*failures, *looked.failures]
                ended = page.next >= page.total or page.next <= offset
                offset = 0 if ended else max(page.next, go_on if offset == 0 else 0)
                if ended:
                    break
        except Refusal as refusal:  # the next run need not begin before this page
            broken = [Alert(source, _text(refusal))]
            offset = offset or go_on
        await self.watermarks.put(name, str(offset))
        return [Synced(source, blocked, 0), *_failed(source, failures), *broken]


def _failed(source: str, failures: Collection[Refusal]) -> list[Alert]:
    first = next(iter(failures), None)
    if first is None:
        return []
    return [Alert(source, f"{len(failures)} entries will be looked up again: {first.public}: {first.cause}")]


async def _guarded(source: str, work: Coroutine[None, None, Results]) -> Results:
    try:
        return await work
    except Refusal as refusal:
        return [Alert(source, _text(refusal))]


def _text(refusal: Refusal) -> str:
    return f"{refusal.public}: {refusal.cause}" if refusal.cause else refusal.public
