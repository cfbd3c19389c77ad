"""What operators do: block a device, lift a hold, have a certificate renewed, replay poison messages.

Each write has a key of the operator's. Before anything is done the key is kept, with a fingerprint of what was asked,
in a table of its own: creating a row that must not exist is the one atomic step that concurrent repeats need; it leaves
the device's partition alone, and it serves queues, which have none. What follows is safe to repeat by itself: a saga
has an id made of device and key, and a device that was nudged since is not nudged again. A replay is not, so its row is
leased while it is worked on, and holds the answer afterwards.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from shared.core import ops
from shared.core.errors import Conflict, NotFound, Refusal, Unavailable
from shared.core.fleet import Block, Change, Device, Snapshot
from shared.core.identity import DeviceId, registration_key
from shared.core.lifecycle import event
from shared.core.ops import Command
from shared.core.revocation import Saga, Verb
from shared.flows.announce import tell
from shared.flows.ports.clock import Clock
from shared.flows.ports.index import Due
from shared.flows.ports.ledger import Ledger, StaleVersionError
from shared.flows.ports.operators import KeptWish, Poison, Wish, Wishes
from shared.flows.ports.work import Work
from shared.flows.revoke import Revoke
from shared.flows.survey import find

REPLAY_SECONDS: Final = 30.0
# Longer than a replay may take, so that only one that died leaves a lease behind.
REPLAY_LEASE: Final = timedelta(seconds=60)
_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class Blocking:
    device_id: DeviceId
    saga: Saga


@dataclass(frozen=True, slots=True)
class Renewal:
    """The device is asked to renew the certificate of that serial; `done` when it has a newer one."""

    device_id: DeviceId
    serial: str
    done: bool


@dataclass(frozen=True)
class Operate:
    """Every write of the operators' API."""

    ledger: Ledger
    revoke: Revoke
    wishes: Wishes
    poison: Poison
    work: Work
    clock: Clock

    async def block(self, name: DeviceId, verb: Verb, command: Command) -> Blocking:
        """Revoke, hold, restore or decommission. Raises NotFound, Conflict, Unavailable.

        A key that was used for the same before leads to the same saga, however far that has come.
        """
        _, device = await find(self.ledger, name)
        scope = _scope(device)
        await self._kept(verb, scope, command)
        saga = await self.revoke.begin(
            device.device_id,
            verb,
            command.why,
            caller=command.caller,
            comment=command.comment,
            saga_id=ops.request_id(scope, command.key),
        )
        return Blocking(device.device_id, saga)

    async def renew(self, name: DeviceId, command: Command) -> Renewal:
        """Ask the device to renew its newest certificate now, due or not. Raises NotFound, Conflict, Unavailable.

        A key that was used before means the same certificate, and asks no more once the device was asked.
        """
        known, device = await find(self.ledger, name)
        if known.certificate(device.latest) is None:
            raise Conflict("the device has no certificate that it could renew")
        kept = await self._kept("renew", _scope(device), command, note=device.latest)
        asked = Renewal(device.device_id, kept.wish.note, done=False)
        for _ in range(_ATTEMPTS):
            if device.latest != asked.serial:
                return replace(asked, done=True)
            if device.nudged_at is not None and device.nudged_at >= kept.wish.at:
                return asked
            self._check_renewable(known, device)
            change = _asking(device, kept.wish, command)
            try:
                await self.ledger.commit(known, change)
            except StaleVersionError:
                known, device = await find(self.ledger, name)
                continue
            await tell(self.work, known, change)
            await self.work.nudge(Due(device.device_id, asked.serial), self.clock().date())
            return asked
        raise Unavailable("the device's record is changing too fast; try again", retry_after=5)

    def _check_renewable(self, known: Snapshot, device: Device) -> None:
        """What a nudge would be wasted on. Raises Conflict."""
        if device.block is not Block.NONE:
            raise Conflict("the device is blocked: its renewal would be refused")
        newest = known.certificate(device.latest)
        if newest is None or newest.status == "revoked":
            raise Conflict("the device's certificate is revoked")
        if newest.certificate.not_after < self.clock():
            raise Conflict("the device's certificate has expired, which no nudge can mend")

    async def poisoned(self) -> Mapping[str, int]:
        """About how many messages lie in the poison queue of each queue. Raises Unavailable."""
        return await self.poison.counts()

    async def replay(self, queue: str, command: Command) -> int:
        """Put poison messages back into their queue; how many those were. Raises NotFound, Conflict, Unavailable.

        A key that was used before replays nothing more; while it is worked on, it has to wait.
        """
        if queue not in await self.poison.counts():
            raise NotFound("there is no such queue")
        kept = await self._kept("replay", f"queue/{queue}", command)
        if kept.wish.note:
            return int(kept.wish.note)
        if not kept.first:
            kept = await self._taken_over(kept)
        try:
            async with asyncio.timeout(REPLAY_SECONDS):
                moved = await self.poison.replay(queue, command.limit)
        except (TimeoutError, Refusal) as error:
            with contextlib.suppress(StaleVersionError, Refusal):  # the next try need not wait for the lease
                await self.wishes.change(kept, replace(kept.wish, at=self.clock() - REPLAY_LEASE))
            raise Unavailable("the replay was cut short; ask again", retry_after=5, cause=repr(error)) from error
        with contextlib.suppress(StaleVersionError):  # somebody took us for dead, and will tell what he has moved
            await self.wishes.change(kept, replace(kept.wish, note=str(moved)))
        return moved

    async def _taken_over(self, kept: KeptWish) -> KeptWish:
        """The wish, leased anew, if who had it is gone. Raises Unavailable."""
        now = self.clock()
        left = kept.wish.at + REPLAY_LEASE - now
        if left <= timedelta():
            with contextlib.suppress(StaleVersionError):
                return await self.wishes.change(kept, replace(kept.wish, at=now))
            left = REPLAY_LEASE
        wait = max(1, round(left.total_seconds()))
        raise Unavailable("the same request is being worked on; try again", retry_after=wait)

    async def _kept(self, deed: str, scope: str, command: Command, note: str = "") -> KeptWish:
        """The wish as it was first asked. Raises Conflict when it was another one."""
        body = ops.fingerprint(deed, command)
        kept = await self.wishes.keep(Wish(scope, command.key, body, self.clock(), note))
        if kept.wish.body != body:
            raise Conflict("this Idempotency-Key was used for another request: take a new one")
        return kept


def _scope(device: Device) -> str:
    return f"device/{registration_key(device.device_id)}"


def _asking(device: Device, wish: Wish, command: Command) -> Change:
    """The device as one that was not asked yet, for the handler of the nudge decides by that; and who wants it."""
    told = {"serial": wish.note, "reason": command.why.value, "caller": command.caller, "comment": command.comment}
    said = event("nudged", device.device_id, wish.at, ops.request_id(wish.scope, wish.key), **told)
    return Change(replace(device, nudged_at=None), events=(said,))
