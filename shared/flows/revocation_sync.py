"""Revocations made elsewhere: what the CAs' CRLs and DigiCert ONE's own list hold blocks the device here too.

Neither DPS nor IoT Hub reads a CRL, so this is how a revocation at the CA reaches them.
"""

import asyncio
import hashlib
import itertools
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from shared.core import crl
from shared.core.blocking import is_live
from shared.core.crl import Listed, Revoked
from shared.core.errors import Conflict, Refusal
from shared.core.fleet import Block, Snapshot
from shared.core.profile import Label
from shared.core.revocation import Reason
from shared.flows.ports.clock import Clock
from shared.flows.ports.index import Index, Watermarks
from shared.flows.ports.ledger import Ledger
from shared.flows.ports.revocation import Crls, RevokedList
from shared.flows.revoke import Revoke
from shared.flows.trust import Chains

# What one run looks up of one CRL, and how many pages of DigiCert ONE's list it reads; the rest is for later runs.
MOST_ENTRIES: Final = 20_000
MOST_PAGES: Final = 50
_AT_ONCE: Final = 16
_MOST_FAILURES: Final = 48
# Of a certificate that the device has replaced, these say nothing against the device: many CAs revoke what is renewed.
_OF_NO_MATTER: Final = (Reason.SUPERSEDED, Reason.CESSATION_OF_OPERATION)


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


@dataclass(frozen=True, slots=True)
class _Progress:
    """How far one CRL has been read. `parts` counts the rows that hold the marks of its entries."""

    etag: str = ""
    modified: str = ""
    number: int = 0
    next_update: str = ""
    parts: int = 0


@dataclass(frozen=True, slots=True)
class _Looked:
    """What became of the entries: those that need not be looked up again, and what went wrong with others."""

    done: tuple[Revoked, ...]
    blocked: int
    failures: tuple[Refusal, ...]


class Aside(Protocol):
    """Runs what takes seconds beside the event loop, which devices wait for."""

    async def __call__[T](self, work: Callable[[], T], /) -> T: ...


@dataclass(frozen=True)
class RevocationSync:
    """`urls` are the configured addresses of the CRLs of each label's issuing CAs; no other address is ever asked."""

    urls: Mapping[Label, tuple[str, ...]]
    lists: Mapping[Label, RevokedList]
    crls: Crls
    chains: Chains
    index: Index
    ledger: Ledger
    watermarks: Watermarks
    revoke: Revoke
    clock: Clock
    most_entries: int = MOST_ENTRIES
    aside: Aside = asyncio.to_thread

    async def run(self) -> tuple[Synced | Alert, ...]:
        """Every source once. One that fails is an alert, and does not keep the others from being read."""
        results: list[Synced | Alert] = []
        for label, urls in self.urls.items():
            for url in urls:
                results += await _guarded(url, self._crl(label, url))
        for label, listed in self.lists.items():
            results += await _guarded(f"digicert/{label}", self._list(label, listed))
        return tuple(results)

    async def _crl(self, label: Label, url: str) -> list[Synced | Alert]:
        name = f"crl-{hashlib.sha256(url.encode()).hexdigest()[:32]}"
        stored = await self.watermarks.get(name)
        progress = _Progress(**json.loads(stored)) if stored else _Progress()
        issuers = await self.chains.current(label)
        found = await self.crls.fetch(url, progress.etag, progress.modified)
        if found is None:
            return [Synced(url, 0, 0), *self._stale(url, progress)]
        parts = [await self.watermarks.get(f"{name}-{number}") for number in range(progress.parts)]
        seen, most, now = crl.from_parts(parts), self.most_entries, self.clock()
        listed = await self.aside(
            partial(crl.read, found.der, issuers, seen=seen, last_number=progress.number, most=most, now=now)
        )
        looked = await self._look_up(listed.new, listed.issuer)
        left = listed.left + len(listed.new) - len(looked.done)
        count = await self._remember(name, parts, listed, looked.done)
        # While anything is left the marks of the file are not kept: it must be served again.
        etag, modified = ("", "") if left else (found.etag, found.modified)
        expected = listed.next_update.isoformat() if listed.next_update else ""
        progress = _Progress(etag, modified, listed.number, expected, count)
        await self.watermarks.put(name, json.dumps(asdict(progress)))
        return [Synced(url, looked.blocked, left), *_failed(url, looked), *self._stale(url, progress)]

    async def _remember(self, name: str, stored: Sequence[str], listed: Listed, done: Iterable[Revoked]) -> int:
        """Write the marks of what is listed and need not be looked up again; the number of their rows.

        A hold is looked up each time: it may have become a revocation under the same serial number.
        """
        new = [crl.mark(int(one.serial, 16)) for one in done if one.reason is not Reason.CERTIFICATE_HOLD]
        marks = itertools.chain(listed.remembered, new)
        parts = await self.aside(partial(crl.to_parts, marks, len(listed.remembered) + len(new)))
        for number, (part, there) in enumerate(itertools.zip_longest(parts, stored[: len(parts)])):
            if part != there:
                await self.watermarks.put(f"{name}-{number}", part)
        return len(parts)

    def _stale(self, url: str, progress: _Progress) -> list[Alert]:
        """RFC 5280 §5.1.2.5: the next list is issued by then at the latest."""
        if not progress.next_update or self.clock() <= datetime.fromisoformat(progress.next_update):
            return []
        return [Alert(url, f"the CRL was to be replaced by {progress.next_update}: ask the CA why it publishes none")]

    async def _list(self, label: Label, listed: RevokedList) -> list[Synced | Alert]:
        """The first page, where the newest are (as far as is known), then on from where the last run stopped.

        So the whole list is gone through again and again: nothing says in which order DigiCert ONE keeps it. A reason
        is not told there.
        """
        name = f"revoked-{label}"
        go_on = int(await self.watermarks.get(name) or 0)
        blocked, offset, failures = 0, 0, list[Refusal]()
        for _ in range(MOST_PAGES):
            page = await listed.page(offset)
            entries = tuple(Revoked(serial, self.clock(), Reason.UNSPECIFIED) for serial in page.serials)
            looked = await self._look_up(entries)
            blocked, failures = blocked + looked.blocked, [*failures, *looked.failures]
            ended = page.next >= page.total or page.next <= offset
            offset = 0 if ended else max(page.next, go_on if offset == 0 else 0)
            if ended:
                break
        await self.watermarks.put(name, str(offset))
        source = f"digicert/{label}"
        return [Synced(source, blocked, 0), *_failed(source, _Looked((), blocked, tuple(failures)))]

    async def _look_up(self, entries: Sequence[Revoked], issuer: str = "") -> _Looked:
        """Block the devices among the entries' owners. After many failures the rest is left for the next run."""
        done: list[Revoked] = []
        failures: list[Refusal] = []
        blocked = 0
        for batch in itertools.batched(entries, _AT_ONCE, strict=False):
            outcomes = await asyncio.gather(*(self._entry(one, issuer) for one in batch))
            for one, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Refusal):
                    failures.append(outcome)
                else:
                    done.append(one)
                    blocked += outcome
            if len(failures) >= _MOST_FAILURES:
                break
        return _Looked(tuple(done), blocked, tuple(failures))

    async def _entry(self, one: Revoked, issuer: str) -> bool | Refusal:
        """Whether a device is blocked for it now that was not before; a refusal when that could not be found out."""
        try:
            device = await self.index.by_serial(one.serial)
            if device is None or not self._concerns(await self.ledger.load(device), one, issuer):
                return False
            held = one.reason is Reason.CERTIFICATE_HOLD
            await self.revoke.begin(
                device,
                "hold" if held else "revoke",
                one.reason,
                caller="crl" if issuer else "digicert",
                comment=f"the CA has revoked the certificate {one.serial}",
                # A hold that an operator has undone here comes again only when the CA has taken it off and set it anew.
                saga_id=f"ca-hold-{one.serial}-{one.at:%Y%m%d%H%M%S}" if held else f"ca-{one.serial}",
            )
        except Conflict:
            return False  # another was faster
        except Refusal as refusal:
            return refusal
        return True

    def _concerns(self, known: Snapshot, one: Revoked, issuer: str) -> bool:
        """Whether the entry is news of a certificate that the device may still use."""
        held = known.certificate(one.serial)
        if known.device is None or held is None or not is_live(held, self.clock()):
            return False
        if issuer and held.certificate.issuer != issuer:
            return False  # serial numbers are unique under one CA only
        if one.reason in _OF_NO_MATTER and one.serial != known.device.latest:
            return False
        if not issuer or one.reason is Reason.CERTIFICATE_HOLD:
            return known.device.block is Block.NONE
        return known.device.block is not Block.REVOKED


def _failed(source: str, looked: _Looked) -> list[Alert]:
    if not looked.failures:
        return []
    first = looked.failures[0]
    return [Alert(source, f"{len(looked.failures)} entries will be looked up again: {first.public}: {first.cause}")]


async def _guarded(source: str, work: Coroutine[None, None, list[Synced | Alert]]) -> list[Synced | Alert]:
    try:
        return await work
    except Refusal as refusal:
        return [Alert(source, f"{refusal.public}: {refusal.cause}" if refusal.cause else refusal.public)]
