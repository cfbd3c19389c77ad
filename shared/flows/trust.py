"""The CA certificates of every label: fetched once, served from memory, refreshed when their time has come."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509

from shared.core.certificate import is_issued_by, issuer_text
from shared.core.chain import check_chain, issuing
from shared.core.client_certificate import Trust, trust
from shared.core.errors import Refusal, Unavailable, UpstreamRefused
from shared.core.profile import Label
from shared.flows.ports.clock import Clock
from shared.flows.ports.issuance import ChainSource

FRESH = timedelta(minutes=30)
# After a refresh failed the old copy is served, and the source is left alone for a while.
RETRY = timedelta(seconds=30)
# What a device waits for a chain at most; CA Manager is asked for one CA after the other.
FETCH_SECONDS = 15.0


@dataclass(slots=True)
class Copy:
    """A checked chain, and its issuing CAs as a trust store for renewals.

    `looked_at`: when it was fetched, or an unknown issuer was last a reason to fetch it anew, which then `failed`.
    """

    certificates: tuple[x509.Certificate, ...]
    issuing: Trust
    refresh_at: datetime
    looked_at: datetime
    failed: bool = False


@dataclass(frozen=True)
class Chains:
    """The chain of each label. A copy that was checked is served on while its source does not answer."""

    sources: Mapping[Label, ChainSource]
    clock: Clock
    copies: dict[Label, Copy] = field(default_factory=dict)
    fetches: dict[Label, asyncio.Task[Copy]] = field(default_factory=dict)
    refreshing: set[asyncio.Task[None]] = field(default_factory=set)

    async def current(self, label: Label) -> tuple[x509.Certificate, ...]:
        """Root and issuing CAs of the label (RFC 7030 §4.1.3). Raises what `fetch` raises while none was ever there."""
        return (await self._copy(label)).certificates

    async def issuing(self, label: Label) -> Trust:
        """The label's issuing CAs, to which the certificates of its devices lead. Raises as `current`."""
        return (await self._copy(label)).issuing

    async def newer_issuing(self, label: Label) -> Trust:
        """The same for a certificate that leads to none of them: the CA may have rolled since our copy was fetched.

        Strangers come with any certificate, so the source is asked once in a while only; without it the copy counts.
        """
        with contextlib.suppress(Refusal):
            return (await self._newer(label)).issuing
        return await self.issuing(label)

    async def check_issuer(self, label: Label, leaf: x509.Certificate, *, new: bool = False) -> None:
        """Raises UpstreamRefused unless the label's CA has signed the certificate, Unavailable when that is not known.

        A CA that rolled is fetched anew: for a `new` certificate, which it has issued at this moment, in any case.
        """
        try:
            if is_issued_by(leaf, await self.current(label)):
                return
            copy = await (self._fetched(label) if new else self._newer(label))
        except Refusal as refusal:
            # A refusal of its own for each caller: the fetch and its failure are shared.
            text = "the CA's chain cannot be fetched to check the certificate; try again"
            raise Unavailable(text, retry_after=5, cause=f"{refusal.public}: {refusal.cause}") from refusal
        if not is_issued_by(leaf, copy.certificates):
            raise UpstreamRefused("the CA answered with a certificate of another issuer", cause=issuer_text(leaf))

    async def _newer(self, label: Label) -> Copy:
        """A copy that is no older than RETRY. Raises what `fetch` raises, and Unavailable for a while after that."""
        copy = await self._copy(label)
        if label in self.fetches:
            return await self._fetched(label)
        if self.clock() >= copy.looked_at + RETRY:
            copy.looked_at, copy.failed = self.clock(), True  # until another copy takes its place
            return await self._fetched(label)
        if copy.failed:
            raise Unavailable("the CA's chain cannot be fetched", retry_after=int(RETRY.total_seconds()))
        return copy

    async def _copy(self, label: Label) -> Copy:
        copy = self.copies.get(label)
        if copy is None:
            return await self._fetched(label)
        if self.clock() >= copy.refresh_at:
            # No device waits for a refresh: this copy was checked and is served until the new one is there.
            copy.refresh_at = self.clock() + RETRY
            task = asyncio.create_task(self._refresh(label))
            self.refreshing.add(task)
            task.add_done_callback(self.refreshing.discard)
        return copy

    async def _refresh(self, label: Label) -> None:
        with contextlib.suppress(Refusal):
            await self._fetched(label)

    async def _fetched(self, label: Label) -> Copy:
        """All who want a chain at the same time share one fetch, its failure too, and none who leaves can end it."""
        if label not in self.fetches:
            task = asyncio.create_task(self._fetch(label))
            self.fetches[label] = task
            task.add_done_callback(lambda _: self.fetches.pop(label))
        return await asyncio.shield(self.fetches[label])

    async def _fetch(self, label: Label) -> Copy:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                certificates = check_chain(await self.sources[label].fetch())
        except TimeoutError as error:
            raise Unavailable("the CA's chain did not come in time", retry_after=5) from error
        now = self.clock()
        self.copies[label] = Copy(certificates, trust(issuing(certificates)), now + FRESH, now)
        return self.copies[label]
