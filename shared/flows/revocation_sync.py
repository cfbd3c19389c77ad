"""Revocations made elsewhere: what the CAs' CRLs and DigiCert ONE's own list hold blocks the device here too.

Neither DPS nor IoT Hub reads a CRL, so this timer is how a revocation at the CA reaches them.
"""

import asyncio
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from shared.core import crl
from shared.core.blocking import is_live
from shared.core.crl import Listed, Revoked
from shared.core.errors import Conflict, NotFound, Refusal
from shared.core.fleet import Block, Snapshot
from shared.core.identity import DeviceId
from shared.core.profile import Label
from shared.core.revocation import Reason, Verb
from shared.flows.ports import Clock, Crls, Index, Ledger, RevokedList, Watermarks
from shared.flows.revoke import Revoke
from shared.flows.trust import Chains

# What one run looks up of one CRL, and how many pages of DigiCert ONE's list it reads; the rest is for later runs.
MOST_ENTRIES: Final = 20_000
MOST_PAGES: Final = 50
_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Synced:
    """What one source has told: how many devices were newly blocked, and how many entries are left for later runs."""

    source: str
    blocked: int
    left: int


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that an operator must look at: revocations may be missed until it is mended."""

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far we are with one CRL. `parts` are the rows that hold the marks of its entries."""

    etag: str = ""
    modified: str = ""
    number: int = 0
    next_update: str = ""
    parts: int = 0

    @property
    def names_next(self) -> datetime | None:
        return datetime.fromisoformat(self.next_update) if self.next_update else None


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

    async def run(self) -> tuple[Synced | Alert, ...]:
        """Every source once. One that fails is an alert, and does not keep the others from being read."""
        results: list[Synced | Alert] = []
        for label, urls in self.urls.items():
            for url in urls:
                results += await self._guarded(url, self._crl(label, url))
        for label, listed in self.lists.items():
            results += await self._guarded(f"digicert/{label}", self._list(label, listed))
        return tuple(results)
