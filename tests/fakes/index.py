"""The index tables beside the ledger, in memory: what is due or unfinished, whose a certificate is, watermarks."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from shared.core.identity import DeviceId, registration_key
from shared.flows.ports.index import Due, Unfinished
from tests.fakes.calls import Calls
from tests.fakes.ledger import FakeLedger


@dataclass
class FakeSchedule:
    """Over `ledger.due`. A page is read when the last one is used up: what happens in between is seen or not."""

    ledger: FakeLedger
    calls: Calls = field(default_factory=Calls)
    page: int = 3

    async def due(self, day: date) -> AsyncIterator[Due]:
        after = ""
        while True:
            async with self.calls.to("schedule.due"):
                serials = sorted(serial for on, serial in self.ledger.due if on == day and serial > after)
                found = [Due(self.ledger.due[day, serial], serial) for serial in serials[: self.page]]
            for one in found:
                yield one
            if len(found) < self.page:
                return
            after = found[-1].serial

    async def add(self, due: Due, day: date) -> None:
        async with self.calls.to("schedule.add"):
            self.ledger.due[day, due.serial] = due.device_id

    async def drop(self, due: Due, day: date) -> None:
        async with self.calls.to("schedule.drop"):
            self.ledger.due.pop((day, due.serial), None)


@dataclass
class FakeHints:
    """Over `ledger.hints`: a hint younger than `settled` stays, because its transaction may still be under way."""

    ledger: FakeLedger
    calls: Calls = field(default_factory=Calls)
    settled: timedelta = timedelta(minutes=10)

    async def unfinished(self, kind: Unfinished) -> AsyncIterator[DeviceId]:
        async with self.calls.to("hints.unfinished"):
            found = [device for (of, _), (device, _) in sorted(self.ledger.hints.items()) if of == kind]
        for device in found:
            yield device

    async def drop(self, kind: Unfinished, device: DeviceId) -> None:
        async with self.calls.to("hints.drop"):
            key = (kind, registration_key(device))
            if key in self.ledger.hints and self.ledger.clock() - self.ledger.hints[key][1] >= self.settled:
                del self.ledger.hints[key]


@dataclass
class FakeWatermarks:
    calls: Calls = field(default_factory=Calls)
    values: dict[str, str] = field(default_factory=dict)

    async def get(self, name: str) -> str:
        async with self.calls.to("watermarks.get"):
            return self.values.get(name, "")

    async def put(self, name: str, value: str) -> None:
        async with self.calls.to("watermarks.put"):
            self.values[name] = value


@dataclass
class FakeIndex:
    """Over `ledger.thumbprints` and `ledger.serials`."""

    ledger: FakeLedger
    calls: Calls = field(default_factory=Calls)

    async def by_thumbprint(self, thumbprint: str) -> DeviceId | None:
        async with self.calls.to("index.by_thumbprint"):
            wanted = thumbprint.lower()
            return self.ledger.thumbprints.get(wanted) or self.ledger.thumbprints_sha1.get(wanted)

    async def by_serial(self, serial: str) -> DeviceId | None:
        async with self.calls.to("index.by_serial"):
            return self.ledger.serials.get(serial.lower().lstrip("0"))
