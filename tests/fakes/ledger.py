"""The ledger in memory, with the versions and the atomicity of a partition in Table Storage."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import assert_never

from shared.core.fleet import Claim, Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId, RegistrationKey, registration_key
from shared.flows.ports import StaleVersionError
from tests.fakes.calls import Calls

type Value = Device | Claim | LedgerCertificate

DEVICE = "device"


def _key(value: Value) -> str:
    match value:
        case Device():
            return DEVICE
        case Claim(key=key):
            return f"claim-{key}"
        case LedgerCertificate(certificate=certificate):
            return f"cert-{certificate.serial}"
        case _:
            assert_never(value)


@dataclass
class FakeLedger:
    """`due` and `thumbprints` are the index rows; `rows` are all partitions, each row with its version."""

    calls: Calls = field(default_factory=Calls)
    rows: defaultdict[RegistrationKey, dict[str, tuple[str, Value]]] = field(default_factory=lambda: defaultdict(dict))
    due: dict[tuple[date, str], DeviceId] = field(default_factory=dict)
    thumbprints: dict[str, DeviceId] = field(default_factory=dict)
    _versions: Iterator[int] = field(default_factory=itertools.count)

    async def load(self, device: DeviceId, claim_key: str = "") -> Snapshot:
        async with self.calls.to("ledger.load"):
            return self.read(device, claim_key)

    async def claim(self, known: Snapshot, device: Device, claim: Claim) -> Snapshot:
        async with self.calls.to("ledger.claim"):
            self._write(known, device, claim)
            partition = self.rows[registration_key(device.device_id)]
            versions = {key: partition[key][0] for key in (_key(device), _key(claim))}
            return replace(known, device=device, claim=claim, versions={**known.versions, **versions})

    async def release(self, known: Snapshot, device: Device) -> None:
        async with self.calls.to("ledger.release"):
            self._check(known, device, *([known.claim] if known.claim else []))
            self._write(known, device)
            if known.claim is not None:
                del self.rows[registration_key(device.device_id)][_key(known.claim)]

    async def record(
        self, known: Snapshot, device: Device, claim: Claim, certificate: LedgerCertificate, due: date
    ) -> None:
        async with self.calls.to("ledger.record"):
            self.due[due, certificate.certificate.serial] = device.device_id
            self.thumbprints[certificate.certificate.thumbprint] = device.device_id
            self._write(known, device, claim)
            self.put(device.device_id, certificate)

    async def save(self, known: Snapshot, device: Device) -> None:
        async with self.calls.to("ledger.save"):
            self._write(known, device)

    def read(self, device: DeviceId, claim_key: str = "") -> Snapshot:
        """What `load` returns, for tests that look."""
        partition = self.rows[registration_key(device)]
        wanted = {key: row for key, row in sorted(partition.items()) if key in (DEVICE, f"claim-{claim_key}")}
        wanted |= {key: row for key, row in sorted(partition.items()) if key.startswith("cert-")}
        values = [value for _, value in wanted.values()]
        return Snapshot(
            device=next((one for one in values if isinstance(one, Device)), None),
            claim=next((one for one in values if isinstance(one, Claim)), None),
            certificates=tuple(one for one in values if isinstance(one, LedgerCertificate)),
            versions={key: version for key, (version, _) in wanted.items()},
        )

    def put(self, device: DeviceId, value: Value) -> None:
        """As somebody else would: whoever has read the row before holds a stale version now."""
        self.rows[registration_key(device)][_key(value)] = (f'W/"{next(self._versions)}"', value)

    def claims(self, device: DeviceId) -> list[Claim]:
        return [value for _, value in self.rows[registration_key(device)].values() if isinstance(value, Claim)]

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
