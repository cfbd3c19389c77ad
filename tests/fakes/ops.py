"""What operators work with, in memory: the ledger across devices, their wishes, poison queues; and a world of it."""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, cast

from shared.core.certificate import Certificate
from shared.core.errors import Malformed
from shared.core.fleet import Change, Device, LedgerCertificate
from shared.core.identity import DeviceId, RegistrationKey, registration_key
from shared.core.profile import Profiles
from shared.core.searching import Search
from shared.flows.operate import Operate
from shared.flows.ports.hubs import HubIdentity, Hubs
from shared.flows.ports.index import CertificatePage, Due, DuePage, EndingPage, Listed
from shared.flows.ports.ledger import StaleVersionError
from shared.flows.ports.operators import KeptWish, Wish
from shared.flows.revoke import Revoke
from shared.flows.survey import Survey
from tests.fakes.calls import Calls
from tests.fakes.clock import START, Clock
from tests.fakes.index import FakeHints
from tests.fakes.ledger import FakeLedger
from tests.fakes.work import FakeWork

if TYPE_CHECKING:
    from shared.flows.ports.dps import Enrollments


@dataclass
class FakeFleet:
    """Over the ledger. `page` rows are the most that the store reads in one go, whether they fit or not."""

    ledger: FakeLedger
    calls: Calls = field(default_factory=Calls)
    page: int = 1000

    async def due(self, until: date, limit: int, mark: str) -> DuePage:
        async with self.calls.to("fleet.due"):
            rows = sorted((day.isoformat(), serial, name) for (day, serial), name in self.ledger.due.items())
            rows = [row for row in rows if row[0] <= until.isoformat()]
            found, following = self._cut(rows, min(limit, self.page), mark)
            return DuePage(tuple(Due(name, serial) for _, serial, name in found), following)

    async def certificates(self, search: Search) -> CertificatePage:
        async with self.calls.to("fleet.certificates"):
            rows = [
                Listed(known.device.device_id, replace(one, certificate=replace(one.certificate, der=b"")))
                for key in sorted(self.ledger.rows)
                if (known := self.ledger.read(DeviceId(key))).device is not None
                for one in known.certificates
            ]
            fitting = [one if _fits(one.certificate, search) else None for one in rows]
            found, following = self._cut(fitting, min(search.limit, self.page), search.mark)
            return CertificatePage(tuple(one for one in found if one is not None), following)

    async def endings(self, mark: str) -> EndingPage:
        async with self.calls.to("fleet.endings"):
            everywhere = (self.ledger.read(DeviceId(key)).certificates for key in sorted(self.ledger.rows))
            rows = [
                (one.label, one.certificate.not_after) for kept in everywhere for one in kept if one.status == "issued"
            ]
            found, following = self._cut(rows, self.page, mark)
            return EndingPage(tuple(found), following)

    def _cut[T](self, rows: list[T], size: int, mark: str) -> tuple[list[T], str]:
        begin = _begin(mark)
        end = begin + size
        return rows[begin:end], json.dumps({"at": end}) if end < len(rows) else ""


def _begin(mark: str) -> int:
    if not mark:
        return 0
    try:
        return int(json.loads(mark)["at"])
    except (ValueError, LookupError, TypeError) as error:
        raise Malformed('"continuation" must be what the page before gave, unchanged') from error


def _fits(kept: LedgerCertificate, search: Search) -> bool:
    return (
        (search.expires_before is None or kept.certificate.not_after < search.expires_before)
        and search.status in (None, kept.status)
        and search.label in ("", kept.label)
    )


@dataclass
class FakeWishes:
    calls: Calls = field(default_factory=Calls)
    rows: dict[tuple[str, str], tuple[str, Wish]] = field(default_factory=dict)
    _versions: Iterator[int] = field(default_factory=itertools.count)

    async def keep(self, wish: Wish) -> KeptWish:
        async with self.calls.to("wishes.keep"):
            at = (wish.scope, wish.key)
            first = at not in self.rows
            if first:
                self.rows[at] = (str(next(self._versions)), wish)
            version, there = self.rows[at]
            return KeptWish(there, first, version)

    async def change(self, kept: KeptWish, wish: Wish) -> KeptWish:
        async with self.calls.to("wishes.change"):
            at = (wish.scope, wish.key)
            if at not in self.rows or self.rows[at][0] != kept.version:
                raise StaleVersionError
            self.rows[at] = (str(next(self._versions)), wish)
            return KeptWish(wish, kept.first, self.rows[at][0])


@dataclass
class FakePoison:
    """`messages` lie in the poison queue of each queue; `replayed` is what went back, each time in `seconds`."""

    calls: Calls = field(default_factory=Calls)
    messages: dict[str, list[str]] = field(default_factory=lambda: {"settle": [], "saga": []})
    replayed: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0

    async def counts(self) -> Mapping[str, int]:
        async with self.calls.to("poison.counts"):
            return {queue: len(found) for queue, found in self.messages.items()}

    async def replay(self, queue: str, limit: int) -> int:
        async with self.calls.to("poison.replay"):
            await asyncio.sleep(self.seconds)
            found = self.messages[queue]
            moved, self.messages[queue] = found[:limit], found[limit:]
            self.replayed += [(queue, one) for one in moved]
            return len(moved)


@dataclass
class FakeQueues:
    """`waiting` is for how many seconds the oldest message of each queue has been waiting."""

    calls: Calls = field(default_factory=Calls)
    waiting: dict[str, float] = field(default_factory=lambda: {"settle": 0.0, "saga": 0.0})

    async def ages(self) -> Mapping[str, float]:
        async with self.calls.to("queues.ages"):
            return dict(self.waiting)


@dataclass
class Doors:
    """DPS and the hubs as far as blocking goes: who is shut out of which."""

    calls: Calls = field(default_factory=Calls)
    blocked: set[RegistrationKey] = field(default_factory=set)

    async def block(self, device: DeviceId) -> None:
        async with self.calls.to("enrollments.block"):
            self.blocked.add(registration_key(device))

    async def unblock(self, device: DeviceId) -> None:
        async with self.calls.to("enrollments.unblock"):
            self.blocked.discard(registration_key(device))

    async def identity(self, hub: str, device: DeviceId) -> HubIdentity | None:
        del hub, device
        async with self.calls.to("hubs.identity"):
            return None

    async def remove(self, hub: str, device: DeviceId) -> None:
        del hub, device
        async with self.calls.to("hubs.remove"):
            return


@dataclass
class OpsWorld:
    """Devices in a ledger, and the operators' two flows over it."""

    clock: Clock = field(default_factory=Clock)
    calls: Calls = field(default_factory=Calls)

    def __post_init__(self) -> None:
        self.ledger = FakeLedger(self.calls, self.clock)
        self.fleet = FakeFleet(self.ledger, self.calls)
        self.wishes = FakeWishes(self.calls)
        self.poison = FakePoison(self.calls)
        self.work = FakeWork(self.calls)
        self.doors = Doors(self.calls)
        enrollments, hubs = cast("Enrollments", self.doors), cast("Hubs", self.doors)
        nobody = Profiles("devices", {})
        self.revoke = Revoke(nobody, self.ledger, enrollments, hubs, {}, self.work, self.clock)
        self.operate = Operate(self.ledger, self.revoke, self.wishes, self.poison, self.work, self.clock)
        self.survey = Survey(self.ledger, self.fleet, FakeHints(self.ledger, self.calls), self.clock)

    async def born(self, name: str = "dev-1", *serials: str, label: str = "devices") -> Device:
        """A device that has certificates of these serials, the last one in use. They do not live at DigiCert ONE."""
        kept = tuple(a_certificate(one, label=label) for one in serials)
        newest = serials[-1] if serials else ""
        device = Device(DeviceId(name), label, START, hub="hub-a", current=newest, latest=newest)
        known = await self.ledger.load(device.device_id)
        await self.ledger.commit(known, Change(device, kept))
        for one in kept:
            self.ledger.due[one.certificate.renewal_due(0.8).date(), one.certificate.serial] = device.device_id
        return device

    async def change(self, name: str, how: Callable[[Device], Device]) -> None:
        known = await self.ledger.load(DeviceId(name))
        if known.device is None:
            raise LookupError(name)
        await self.ledger.commit(known, Change(how(known.device)))


def a_certificate(serial: str = "0a1b", *, end: datetime | None = None, label: str = "devices") -> LedgerCertificate:
    """Issued ten days before the clocks of tests begin, for ninety days unless an end is given."""
    begin = START - timedelta(days=10)
    kept = Certificate(
        der=b"\x30\x00",
        serial=serial,
        thumbprint=(serial * 64)[:64],
        thumbprint_sha1=(serial * 40)[:40],
        spki_sha256="cc" * 32,
        subject="CN=dev-1",
        issuer="CN=ICA",
        not_before=begin,
        not_after=end or begin + timedelta(days=90),
    )
    return LedgerCertificate(kept, label, "est")
