"""Revocations made elsewhere: what the CAs' CRLs and DigiCert ONE's own list hold blocks the device here too.

Neither DPS nor IoT Hub reads a CRL, so this is how a revocation at the CA reaches them.
"""

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
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
from shared.flows.revoked_devices import Looked, RevokedDevices
from shared.flows.trust import Chains

# How many pages of DigiCert ONE's list one run reads; the rest is for later runs.
MOST_PAGES: Final = 50
_AT_ONCE: Final = 16
_MOST_FAILURES: Final = 48
# Follows the offset of a page that had failures, where a watermark says from where to go on.
_AGAIN: Final = " again"


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

# Stands for every label that was renamed or taken out of the profiles: its certificates are still in use.
_FORMER: Final[Label] = ""


@dataclass(frozen=True)
class RevocationSync:
    """`urls` are the configured addresses of the CRLs of each label's issuing CAs; no other address is ever asked.

    `lists` are DigiCert ONE's, each with the labels that share it.
    """

    urls: Mapping[Label, tuple[str, ...]]
    lists: Mapping[tuple[Label, ...], RevokedList]
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
        for labels, listed in self.lists.items():
            results += await _guarded(_source(labels), self._list(labels, listed))
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

    async def _list(self, labels: tuple[Label, ...], listed: RevokedList) -> Results:
        """The first page, where the newest are (as far as is known), then on from where the last run stopped.

        So the whole list is gone through again and again: nothing says in which order DigiCert ONE keeps it. The next
        run goes on from the first page that had failures, but once only: what is behind it is to be read, too.
        """
        name, source = f"revoked-{labels[0]}", _source(labels)
        holds = {label: await self._holds(label) for label in labels}
        holds[_FORMER] = frozenset[str]().union(*holds.values())
        kept = await self.watermarks.get(name) or "0"
        go_on = int(kept.removesuffix(_AGAIN))
        blocked, offset, failures, failed = 0, 0, list[Refusal](), list[int]()
        broken: Results = []
        try:
            for _ in range(MOST_PAGES):
                page = await listed.page(offset)
                looked = await self._look_up(page.serials, holds)
                blocked, failures = blocked + looked.blocked, [*failures, *looked.failures]
                # The first page is read in each run.
                if looked.failures and offset and not (offset == go_on and kept.endswith(_AGAIN)):
                    failed.append(offset)
                ended = page.next >= page.total or page.next <= offset
                offset = 0 if ended else max(page.next, go_on if offset == 0 else 0)
                if ended:
                    break
        except Refusal as refusal:  # the next run need not begin before this page
            broken = [Alert(source, _text(refusal))]
            offset = offset or go_on
        await self.watermarks.put(name, f"{failed[0]}{_AGAIN}" if failed else str(offset))
        return [Synced(source, blocked, 0), *_failed(source, failures), *broken]

    async def _holds(self, label: Label) -> frozenset[str]:
        """What the label's CRLs have as on hold: it is left to them, or a hold that an operator has undone would come
        again.
        """
        return frozenset(
            [serial for url in self.urls.get(label, ()) for serial in (await self._reader.progress(url)).holds]
        )

    async def _look_up(self, serials: Sequence[str], holds: Mapping[Label, Collection[str]]) -> Looked:
        """The list is of a whole account, so most of it may be of other fleets: the ledger knows whose label it is.

        That decides whether a CRL tells of the certificate too. What a label holds that is not configured any more is
        judged like the list's own labels. After many failures the rest of the page is left for the next run.
        """
        of_label: dict[Label, list[str]] = {label: [] for label in holds}
        failures: list[Refusal] = []
        for some in batched(serials, _AT_ONCE, strict=False):
            for serial, label in zip(some, await asyncio.gather(*map(self._label, some)), strict=True):
                if isinstance(label, Refusal):
                    failures.append(label)
                elif label is not None and serial not in holds.get(label, (serial,)):
                    of_label[label].append(serial)
            if len(failures) >= _MOST_FAILURES:
                break
        blocked = 0
        for label, ours in of_label.items():
            crl_tells = any(self.urls.get(one) for one in (holds if label == _FORMER else (label,)))
            looked = await self._devices.on_list(ours, crl_tells=crl_tells)
            blocked, failures = blocked + looked.blocked, [*failures, *looked.failures]
        return Looked(blocked=blocked, failures=tuple(failures))

    async def _label(self, serial: str) -> Label | Refusal | None:
        """That of the certificate, None for one that is not ours; a refusal when that could not be found out."""
        try:
            device = await self.index.by_serial(serial)
            held = (await self.ledger.load(device)).certificate(serial) if device is not None else None
        except Refusal as refusal:
            return refusal
        if held is None:
            return None
        is_configured = held.label in self.urls or any(held.label in labels for labels in self.lists)
        return held.label if is_configured else _FORMER


def _source(labels: tuple[Label, ...]) -> str:
    return f"digicert/{'+'.join(labels)}"


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
