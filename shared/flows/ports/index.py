"""What the flows need of the ledger across devices: what is due, what is unfinished, whose a certificate is."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol

from shared.core.fleet import LedgerCertificate
from shared.core.identity import DeviceId
from shared.core.profile import Label
from shared.core.searching import Search


@dataclass(frozen=True, slots=True)
class Due:
    """A certificate whose renewal is due; a hint, to be checked against the device's partition."""

    device_id: DeviceId
    serial: str


class Schedule(Protocol):
    """The index of what is due when. All raise Unavailable."""

    def due(self, day: date) -> AsyncIterator[Due]:
        """What is due on that day."""
        ...

    async def add(self, due: Due, day: date) -> None:
        """Put it down for a day; safe to repeat."""
        ...

    async def drop(self, due: Due, day: date) -> None:
        """It is no longer due on that day; it may be gone already."""
        ...


type Unfinished = Literal["saga", "outbox"]


class Hints(Protocol):
    """Which devices may have unfinished sagas, or events in their outbox. All raise Unavailable."""

    def unfinished(self, kind: Unfinished) -> AsyncIterator[DeviceId]: ...

    async def drop(self, kind: Unfinished, device: DeviceId) -> None: ...


class Watermarks(Protocol):
    """How far the timers have come, by name. All raise Unavailable."""

    async def get(self, name: str) -> str: ...

    async def put(self, name: str, value: str) -> None: ...


class Index(Protocol):
    """From a certificate to its device; hints, to be checked against the device's partition. All raise Unavailable."""

    async def by_thumbprint(self, thumbprint: str) -> DeviceId | None: ...

    async def by_serial(self, serial: str) -> DeviceId | None: ...


@dataclass(frozen=True, slots=True)
class DuePage:
    """A part of the index of what is due; `mark` is where it goes on, empty at the end."""

    due: tuple[Due, ...]
    mark: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A certificate of a device. Its DER is left out: a list does without."""

    device_id: DeviceId
    certificate: LedgerCertificate


@dataclass(frozen=True, slots=True)
class CertificatePage:
    """A part of the whole ledger, as far as the store came in one go: it may hold few certificates or none."""

    certificates: tuple[Listed, ...]
    mark: str


@dataclass(frozen=True, slots=True)
class EndingPage:
    """Label and end of certificates, as far as the store came in one go: there may be few or none."""

    found: tuple[tuple[Label, datetime], ...]
    mark: str


class Fleet(Protocol):
    """The ledger across devices. All raise Unavailable, and Malformed for a mark that the store never gave."""

    async def due(self, until: date, limit: int, mark: str) -> DuePage:
        """What is due for renewal up to and with that day, by day. Hints; one certificate may be there twice."""
        ...

    async def certificates(self, search: Search) -> CertificatePage:
        """Every certificate that fits, device by device: a reading of the whole ledger."""
        ...

    async def endings(self, mark: str) -> EndingPage:
        """When each certificate ends that is neither superseded nor revoked: a reading of the whole ledger."""
        ...
