"""The CA certificates of every label: fetched once, served from memory, refreshed when their time has come."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509

from shared.core.certificate import is_issued_by
from shared.core.chain import check_chain, issuing
from shared.core.client_certificate import Trust, trust
from shared.core.errors import Refusal, UpstreamRefused
from shared.core.profile import Label
from shared.flows.ports import ChainSource, Clock

FRESH = timedelta(minutes=30)
# After a refresh failed the old copy is served, and the source is left alone for a while.
RETRY = timedelta(seconds=30)


@dataclass(slots=True)
class Copy:
    """A checked chain, and its issuing CAs as a trust store for renewals."""

    certificates: tuple[x509.Certificate, ...]
    issuing: Trust
    refresh_at: datetime


@dataclass(frozen=True)
class Chains:
    """The chain of each label. A copy that was checked is served on while its source does not answer."""

    sources: Mapping[Label, ChainSource]
    clock: Clock
    copies: dict[Label, Copy] = field(default_factory=dict)
    locks: dict[Label, asyncio.Lock] = field(default_factory=dict)
    refreshing: set[asyncio.Task[Copy]] = field(default_factory=set)

    async def current(self, label: Label) -> tuple[x509.Certificate, ...]:
        """Root and issuing CAs of the label (RFC 7030 §4.1.3). Raises Unavailable while none was ever fetched."""
        return (await self._copy(label)).certificates

    async def issuing(self, label: Label) -> Trust:
        """The label's issuing CAs, to which the certificates of its devices lead. Raises as `current`."""
        return (await self._copy(label)).issuing

    async def check_issuer(self, label: Label, leaf: x509.Certificate) -> None:
        """Raises UpstreamRefused unless the label's CA has signed the certificate. A CA that rolled is fetched anew."""
        if is_issued_by(leaf, await self.current(label)):
            return
        if is_issued_by(leaf, (await self._refresh(label, self.copies[label])).certificates):
            return
        raise UpstreamRefused(
            "the CA answered with a certificate of another issuer", cause=leaf.issuer.rfc4514_string()
        )

    async def _copy(self, label: Label) -> Copy:
        copy = self.copies.get(label)
        if copy is None:
            return await self._refresh(label, None)
        if self.clock() >= copy.refresh_at:
            # No device waits for a refresh: this copy was checked and is served until the new one is there.
            copy.refresh_at = self.clock() + RETRY
            task = asyncio.create_task(self._refresh(label, copy))
            self.refreshing.add(task)
            task.add_done_callback(self.refreshing.discard)
        return copy

    async def _refresh(self, label: Label, seen: Copy | None) -> Copy:
        """Fetch the chain once for all that wait for it; `seen` is the copy that was found too old."""
        async with self.locks.setdefault(label, asyncio.Lock()):
            copy = self.copies.get(label)
            if copy is not None and copy is not seen:
                return copy
            try:
                certificates = check_chain(await self.sources[label].fetch())
            except Refusal:
                if copy is None:
                    raise
                copy.refresh_at = self.clock() + RETRY
                return copy
            self.copies[label] = Copy(certificates, trust(issuing(certificates)), self.clock() + FRESH)
            return self.copies[label]
