"""One CRL, from its address to the devices that are blocked for it: read when it is new, on from where we stopped."""

import asyncio
import hashlib
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Final, Literal, Protocol

from cryptography import x509

from shared.core import crl
from shared.core.crl import Last, Listed, Marks, Revoked
from shared.core.revocation import Reason
from shared.flows.ports.clock import Clock
from shared.flows.ports.index import Watermarks
from shared.flows.ports.revocation import Crls
from shared.flows.revoked_devices import Looked, RevokedDevices

# What one run looks up of one CRL; the rest is for later runs.
MOST_ENTRIES: Final = 20_000
# Serial numbers have 40 digits at most, and a watermark 32,000 characters.
_MOST_HOLDS: Final = 600


# What a CRL says of a certificate; empty when it says nothing.
type Standing = Literal["", "hold", "revoked"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one CRL has been read. `parts` counts the rows that hold the marks of its entries.

    `holds` are the serial numbers that it lists as on hold, as many as there is room for.
    """

    etag: str = ""
    modified: str = ""
    signer: str = ""
    number: int = 0
    issued: str = ""
    next_update: str = ""
    parts: int = 0
    holds: tuple[str, ...] = ()

    def last(self, seen: Marks) -> Last:
        return Last(self.signer, self.number, datetime.fromisoformat(self.issued) if self.issued else None, seen)

    def overdue(self, now: datetime) -> bool:
        """RFC 5280 §5.1.2.5: the next list is issued by then at the latest."""
        return bool(self.next_update) and now > datetime.fromisoformat(self.next_update)


@dataclass(frozen=True, slots=True)
class Read:
    """What a run has come to; `left` are entries for later runs."""

    progress: Progress
    looked: Looked
    left: int


class Aside(Protocol):
    """Runs what takes seconds beside the event loop, which devices wait for."""

    async def __call__[T](self, work: Callable[[], T], /) -> T: ...


@dataclass(frozen=True)
class CrlReader:
    """A file is asked for again only when the server says that it is another, and never while entries are left."""

    crls: Crls
    watermarks: Watermarks
    devices: RevokedDevices
    clock: Clock
    most_entries: int = MOST_ENTRIES
    aside: Aside = asyncio.to_thread

    async def progress(self, url: str) -> Progress:
        """How far the last run came. Raises Unavailable."""
        return await _progress(self.watermarks, url)

    async def read(self, url: str, issuers: Sequence[x509.Certificate]) -> Read:
        """The list of one of the issuers. Raises Unavailable, UpstreamRefused, TooLarge."""
        name, progress = _name(url), await self.progress(url)
        found = await self.crls.fetch(url, progress.etag, progress.modified)
        if found is None:
            return Read(progress, Looked(), 0)
        parts = [await self.watermarks.get(f"{name}-{number}") for number in range(progress.parts)]
        last, most, now = progress.last(crl.from_parts(parts)), self.most_entries, self.clock()
        listed = await self.aside(partial(crl.read, found.der, issuers, last=last, most=most, now=now))
        looked = await self.devices.on_crl(listed.new, listed.issuer)
        done = [one for one in listed.new if one.serial in looked.done]
        left = listed.left + len(listed.new) - len(done)
        # While anything is left the marks of the file are not kept: it must be served again.
        etag, modified = ("", "") if left else (found.etag, found.modified)
        progress = Progress(
            etag=etag,
            modified=modified,
            signer=listed.signer,
            number=listed.number,
            issued=listed.issued.isoformat(),
            next_update=listed.next_update.isoformat() if listed.next_update else "",
            parts=await self._remember(name, parts, listed, done),
            holds=tuple(one.serial for one in listed.new if _is_hold(one))[:_MOST_HOLDS],
        )
        await self.watermarks.put(name, json.dumps(asdict(progress)))
        return Read(progress, looked, left)

    async def _remember(self, name: str, stored: Sequence[str], listed: Listed, done: Iterable[Revoked]) -> int:
        """Write the marks of what is listed and need not be looked up again; the number of their rows.

        A hold is looked up each time: it may have become a revocation under the same serial number.
        """
        new = [crl.mark(int(one.serial, 16)) for one in done if not _is_hold(one)]
        marks = itertools.chain(listed.remembered, new)
        parts = await self.aside(partial(crl.to_parts, marks, len(listed.remembered) + len(new)))
        for number, (part, there) in enumerate(itertools.zip_longest(parts, stored[: len(parts)])):
            if part != there:
                await self.watermarks.put(f"{name}-{number}", part)
        return len(parts)


@dataclass(frozen=True)
class CrlMarks:
    """What the CRLs that were read last say of one certificate: the ledger may not have known it when they came.

    A mark does not tell why the certificate was revoked.
    """

    watermarks: Watermarks

    async def standing(self, urls: Iterable[str], signers: Collection[str], serial: str) -> Standing:
        """Of the certificate of one of these CAs (core/issuer.py). Raises Unavailable."""
        for url in urls:
            progress = await _progress(self.watermarks, url)
            if progress.signer not in signers:
                continue  # serial numbers are unique under one CA only
            if serial in progress.holds:
                return "hold"
            mark = crl.mark(int(serial, 16))
            part = await self.watermarks.get(f"{_name(url)}-{crl.part_of(mark, progress.parts)}")
            if mark in crl.from_parts([part]):
                return "revoked"
        return ""


async def _progress(watermarks: Watermarks, url: str) -> Progress:
    stored = await watermarks.get(_name(url))
    return Progress(**json.loads(stored)) if stored else Progress()


def _name(url: str) -> str:
    return f"crl-{hashlib.sha256(url.encode()).hexdigest()[:32]}"


def _is_hold(one: Revoked) -> bool:
    return one.reason is Reason.CERTIFICATE_HOLD
