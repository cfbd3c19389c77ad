"""What the flows need to keep operators' writes, and to bring back what no handler could take."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Wish:
    """A write that an operator has asked for. `scope` is the device or the queue, `key` the operator's own.

    `body` is a fingerprint of what was asked, `note` what has to be known when it is asked again.
    """

    scope: str
    key: str
    body: str
    at: datetime
    note: str = ""


@dataclass(frozen=True, slots=True)
class KeptWish:
    """`first` for who has brought it. `version` is the store's own mark, opaque here."""

    wish: Wish
    first: bool
    version: str


class Wishes(Protocol):
    """The operators' writes by their idempotency keys, kept for ever. All raise Unavailable."""

    async def keep(self, wish: Wish) -> KeptWish:
        """The wish of that scope and key: this one, unless there is one already. Of many at once one is first."""
        ...

    async def change(self, kept: KeptWish, wish: Wish) -> KeptWish:
        """Put another in its place. Raises StaleVersionError when somebody else has."""
        ...


class Poison(Protocol):
    """Messages that no handler could take. All raise Unavailable."""

    async def counts(self) -> Mapping[str, int]:
        """How many there are about, for each queue of the app."""
        ...

    async def replay(self, queue: str, limit: int) -> int:
        """Put up to `limit` of them back into their queue; how many those were. None is lost; one may come twice."""
        ...


class Queues(Protocol):
    """What the queues hold. All raise Unavailable."""

    async def ages(self) -> Mapping[str, float]:
        """For how many seconds the oldest message of each queue has been waiting since it was to be handled, or 0."""
        ...
