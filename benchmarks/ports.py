"""Ports in memory that cost next to nothing, so that what is measured is the product."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from cryptography import x509

from benchmarks.minting import Mint
from shared.core.adoption import Seen
from shared.core.csr import SigningRequest
from shared.core.fleet import Change, Claim, Device, Snapshot
from shared.core.identity import DeviceId
from shared.flows.ports.index import Due
from shared.flows.ports.issuance import Answer

_UNKNOWN = Snapshot()


@dataclass(frozen=True)
class ForgetfulLedger:
    """Every round finds each device as it was set up: nothing that is written is kept."""

    known: Mapping[str, Snapshot]

    async def load(self, device: DeviceId, claim_key: str = "") -> Snapshot:
        del claim_key
        return self.known.get(device, _UNKNOWN)

    async def claim(self, known: Snapshot, device: Device, claim: Claim) -> Snapshot:
        return Snapshot(device, claim, known.certificates, versions=known.versions)

    async def release(self, known: Snapshot, device: Device) -> None:
        pass

    async def record(self, known: Snapshot, claim: Claim, change: Change, due: date) -> Snapshot:
        del claim, change, due
        return known

    async def adopt(self, known: Snapshot, change: Change, due: date) -> Snapshot:
        del change, due
        return known

    async def commit(self, known: Snapshot, change: Change) -> Snapshot:
        del change
        return known


@dataclass(frozen=True)
class PreparedUpstream:
    """Answers with a certificate that was issued beforehand; reading it is counted, signing it is not."""

    issued: Mapping[bytes, bytes]

    async def issue(self, request: SigningRequest, renews: str) -> Answer:
        del renews
        return Answer([x509.load_der_x509_certificate(self.issued[request.der])])

    async def poll(self, request: SigningRequest) -> Answer:
        return await self.issue(request, "")

    async def find(self, request: SigningRequest) -> None:
        del request


@dataclass(frozen=True)
class MintingUpstream:
    """Issues to whom it is asked for, after `seconds`."""

    mint: Mint
    seconds: float = 0.0

    async def issue(self, request: SigningRequest, renews: str) -> Answer:
        del renews
        if self.seconds:
            await asyncio.sleep(self.seconds)
        return Answer([x509.load_der_x509_certificate(self.mint.certificate(request.common_name))])

    async def poll(self, request: SigningRequest) -> Answer:
        return await self.issue(request, "")

    async def find(self, request: SigningRequest) -> None:
        del request


@dataclass(frozen=True)
class FixedChain:
    certificates: tuple[x509.Certificate, ...]

    async def fetch(self) -> list[x509.Certificate]:
        return list(self.certificates)


@dataclass(frozen=True)
class FixedSecrets:
    value: str

    async def get(self, name: str) -> str:
        del name
        return self.value

    async def forget(self, name: str) -> bool:
        del name
        return False


@dataclass(frozen=True)
class DaysInMemory:
    """The index of what is due, by day: `device~serial`, as its rows are called in the table."""

    days: Mapping[date, Sequence[str]]

    async def due(self, day: date) -> AsyncIterator[Due]:
        for row in self.days.get(day, ()):
            device, _, serial = row.rpartition("~")
            yield Due(DeviceId(device), serial)

    async def add(self, due: Due, day: date) -> None:
        del due, day

    async def drop(self, due: Due, day: date) -> None:
        del due, day


@dataclass
class CountedWork:
    """Messages are counted and forgotten."""

    messages: int = 0

    async def settle(self, device: DeviceId, label: str, delay: int = 0, tries: int = 0) -> None:
        del device, label, delay, tries
        self.messages += 1

    async def nudge(self, due: Due, day: date, delay: int = 0) -> None:
        del due, day, delay
        self.messages += 1

    async def saga(self, device: DeviceId, delay: int = 0) -> None:
        del device, delay
        self.messages += 1

    async def publish(self, device: DeviceId) -> None:
        del device
        self.messages += 1

    async def adopt(self, seen: Seen, delay: int = 0) -> None:
        del seen, delay
        self.messages += 1

    async def batch(self, ident: str, delay: int = 0) -> None:
        del ident, delay
        self.messages += 1
