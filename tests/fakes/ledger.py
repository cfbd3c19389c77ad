"""The ledger in memory, with the versions and the atomicity of a partition in Table Storage."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import assert_never

from shared.core.fleet import Change, Claim, Device, LedgerCertificate, RecentEvent, Snapshot, recent
from shared.core.identity import DeviceId, RegistrationKey, registration_key
from shared.core.lifecycle import LifecycleEvent
from shared.core.revocation import Saga
from shared.flows.ports.index import Unfinished
from shared.flows.ports.ledger import StaleVersionError
from tests.fakes.calls import Calls
from tests.fakes.clock import START

type Value = Device | Claim | LedgerCertificate | Saga | LifecycleEvent

DEVICE = "device"


def _key(value: Value) -> str:
    match value:
        case Device():
            return DEVICE
        case Claim(key=key):
            return f"claim-{key}"
        case LedgerCertificate(certificate=certificate):
            return f"cert-{certificate.serial}"
        case Saga():
            return "saga"
        case LifecycleEvent(id=ident):
            return f"event-{ident}"
        case _:
            assert_never(value)


@dataclass
class FakeLedger:
    """`rows` are all partitions, each row with its version; `recent` is of the device's row; the rest are index tables.

    `hints` hold when each was written, by `clock`. tests/fakes/index.py has the ports over the index tables.
    """

    calls: Calls = field(default_factory=Calls)
    clock: Callable[[], datetime] = lambda: START
    rows: defaultdict[RegistrationKey, dict[str, tuple[str, Value]]] = field(default_factory=lambda: defaultdict(dict))
    recent: dict[RegistrationKey, tuple[RecentEvent, ...]] = field(default_factory=dict)
    due: dict[tuple[date, str], DeviceId] = field(default_factory=dict)
    thumbprints: dict[str, DeviceId] = field(default_factory=dict)
    thumbprints_sha1: dict[str, DeviceId] = field(default_factory=dict)
    serials: dict[str, DeviceId] = field(default_factory=dict)
    hints: dict[tuple[Unfinished, RegistrationKey], tuple[DeviceId, datetime]] = field(default_factory=dict)
    _versions: Iterator[int] = field(default_factory=itertools.count)

    async def load(self, device: DeviceId, claim_key: str = "") -> Snapshot:
        async with self.calls.to("ledger.load"):
            return self.read(device, claim_key)

    async def past_saga(self, device: DeviceId, ident: str) -> Saga | None:
        async with self.calls.to("ledger.past_saga"):
            _, found = self.rows[registration_key(device)].get(f"saga-{ident}", ("", None))
            return found if isinstance(found, Saga) else None

    async def claim(self, known: Snapshot, device: Device, claim: Claim) -> Snapshot:
        async with self.calls.to("ledger.claim"):
            self._write(known, device, claim)
            return self.read(device.device_id, claim.key)

    async def release(self, known: Snapshot, device: Device) -> None:
        async with self.calls.to("ledger.release"):
            self._check(known, device, *([known.claim] if known.claim else []))
            self._write(known, device)
            if known.claim is not None:
                del self.rows[registration_key(device.device_id)][_key(known.claim)]

    async def record(self, known: Snapshot, claim: Claim, change: Change, due: date) -> Snapshot:
        async with self.calls.to("ledger.record"):
            self._index(known, change, due)
            self._change(known, change, claim)
            return self.read(change.device.device_id, claim.key)

    async def adopt(self, known: Snapshot, change: Change, due: date) -> Snapshot:
        async with self.calls.to("ledger.adopt"):
            self._index(known, change, due)
            self._change(known, change)
            return self.read(change.device.device_id)

    async def commit(self, known: Snapshot, change: Change) -> Snapshot:
        async with self.calls.to("ledger.commit"):
            self._hint(known, change)
            self._change(known, change)
            return self.read(change.device.device_id, known.claim.key if known.claim else "")

    def read(self, device: DeviceId, claim_key: str = "") -> Snapshot:
        """What `load` returns, for tests that look."""
        there: Device | None = None
        claim: Claim | None = None
        saga: Saga | None = None
        certificates: list[LedgerCertificate] = []
        events: list[LifecycleEvent] = []
        versions: dict[str, str] = {}
        partition, wanted = self.rows[registration_key(device)], (DEVICE, "saga", f"claim-{claim_key}")
        for key in sorted(partition):
            if key not in wanted and not key.startswith(("cert-", "event-")):
                continue
            versions[key], value = partition[key]
            if isinstance(value, LedgerCertificate):
                certificates.append(value)
            elif isinstance(value, LifecycleEvent):
                events.append(value)
            elif isinstance(value, Device):
                there = value
            elif isinstance(value, Saga):
                saga = value
            else:
                claim = value
        events.sort(key=lambda one: (one.time, one.id))
        last = self.recent.get(registration_key(device), ())
        return Snapshot(there, claim, tuple(certificates), saga, tuple(events), last, versions)

    def put(self, device: DeviceId, value: Value) -> None:
        """As somebody else would: whoever has read the row before holds a stale version now."""
        self._put(device, _key(value), value)

    def claims(self, device: DeviceId) -> list[Claim]:
        return [value for _, value in self.rows[registration_key(device)].values() if isinstance(value, Claim)]

    def _put(self, device: DeviceId, key: str, value: Value) -> None:
        self.rows[registration_key(device)][key] = (f'W/"{next(self._versions)}"', value)

    def _index(self, known: Snapshot, change: Change, due: date) -> None:
        owner = change.device.device_id
        self._hint(known, change)
        for kept in change.certificates:
            self.due[due, kept.certificate.serial] = owner
            self.thumbprints[kept.certificate.thumbprint] = owner
            self.thumbprints_sha1[kept.certificate.thumbprint_sha1] = owner
            self.serials[kept.certificate.serial] = owner

    def _hint(self, known: Snapshot, change: Change) -> None:
        """Before the transaction, and so also when that fails."""
        owner = change.device.device_id
        if change.events:
            self.hints["outbox", registration_key(owner)] = (owner, self.clock())
        if change.saga is not None and (known.saga is None or known.saga.id != change.saga.id):
            self.hints["saga", registration_key(owner)] = (owner, self.clock())

    def _change(self, known: Snapshot, change: Change, *claim: Claim) -> None:
        owner = change.device.device_id
        values: list[Value] = [*claim, *change.certificates]
        values += [one for one in change.events if one.id not in change.published]
        values += [change.saga] if change.saga else []
        gone = [f"event-{ident}" for ident in change.published if f"event-{ident}" in known.versions]
        partition = self.rows[registration_key(owner)]
        if any(partition.get(key, ("", None))[0] != known.versions[key] for key in gone):
            raise StaleVersionError
        self._write(known, change.device, *values)
        self.recent[registration_key(owner)] = recent(known, change)
        if change.saga is not None and known.saga is not None and known.saga.id != change.saga.id:
            self._put(owner, f"saga-{known.saga.id}", known.saga)
        for key in gone:
            del partition[key]

    def _check(self, known: Snapshot, device: Device, *values: Value) -> None:
        """A row that was not read must not be there; one that was read must be as it was."""
        partition = self.rows[registration_key(device.device_id)]
        for value in (device, *values):
            there = partition.get(_key(value))
            if known.versions.get(_key(value)) != (there[0] if there else None):
                raise StaleVersionError

    def _write(self, known: Snapshot, device: Device, *values: Value) -> None:
        self._check(known, device, *values)
        for value in (device, *values):
            self.put(device.device_id, value)
