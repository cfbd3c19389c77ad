"""One-time passcodes: made for one device, shown once, tried a few times, burnt by the certificate."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from shared.core import basic
from shared.core import passcode as rules
from shared.core.basic import BasicCredentials
from shared.core.errors import Conflict, Malformed, NotFound, Unauthenticated, Unavailable
from shared.core.fleet import Block, Change, Device, Snapshot
from shared.core.identity import DeviceId, device_id
from shared.core.passcode import OneTimePasscode
from shared.core.principal import OneTimePasscodeHolder
from shared.core.profile import Label, Profiles
from shared.flows.ports.aside import Aside
from shared.flows.ports.clock import Clock, Pause
from shared.flows.ports.ledger import Ledger, StaleVersionError

type Random = Callable[[int], bytes]

_ATTEMPTS: Final = 10
_WAIT: Final = 0.1
# A request whose time is over waits no longer than this for its try to be given back.
_NOTE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Made:
    """A passcode, for the one time that it is shown."""

    device_id: DeviceId
    text: str
    expires: datetime

    def __repr__(self) -> str:
        return f"Made({self.device_id!r}, expires={self.expires.isoformat()})"


@dataclass(frozen=True)
class Passcodes:
    """`random` gives so many bytes that nobody can guess. `cost` is that of new passcodes."""

    profiles: Profiles
    ledger: Ledger
    random: Random
    aside: Aside
    clock: Clock
    pause: Pause
    cost: int = rules.COST

    async def make(self, device: DeviceId, label: Label, valid: timedelta) -> Made:
        """A new passcode; an earlier one of the device is worth nothing any more.

        `label` is for a device that is not known yet. Raises NotFound, Conflict, Malformed.
        """
        text = rules.passcode(self.random(rules.RANDOM_BYTES))
        salt = self.random(rules.SALT_BYTES)
        digest = await self.aside(partial(rules.digest, text, salt, self.cost))
        made = OneTimePasscode(salt, digest, self.clock() + valid, self.cost)

        def given(known: Snapshot) -> tuple[Device, DeviceId]:
            owner = self._owner(known, device, label)
            return replace(owner, passcode=made), owner.device_id

        return Made(await self._write(device, given), text, made.expires)

    def _owner(self, known: Snapshot, device: DeviceId, label: Label) -> Device:
        found = known.device
        if found is not None and found.block is not Block.NONE:
            raise Conflict("the device is blocked")
        if found is not None and label not in ("", found.label):
            raise Conflict(f"the device belongs to the label {found.label}")
        wanted = found.label if found else label
        if not wanted:
            raise Malformed('the device is not known yet: the body must hold its "label"')
        profile = self.profiles.by_label.get(wanted)
        if profile is None:
            raise NotFound("there is no such label here")
        if not profile.authentication.one_time_passcodes:
            raise Conflict(f"profiles.{wanted}.authentication.one_time_passcodes is not switched on")
        if found is None and profile.unknown_devices == "manifest":
            raise NotFound("the device is not on the manifest of its label: put it there first")
        return found or Device(device, wanted, created=self.clock())

    async def holder(self, given: BasicCredentials) -> OneTimePasscodeHolder:
        """Who knows this passcode of a device. Raises Unauthenticated, when nobody does or it is closed; Unavailable.

        The try is counted before the passcode is compared, and a right one ends the count: however many guess at the
        same time, they have MAX_FAILURES tries. One that is not compared, or whose outcome nobody waits for any more,
        is given back: a device that comes again and again while something fails must not lock itself out.
        """
        try:
            name, text = device_id(given.user.decode()), given.password.decode().strip()
        except (Malformed, UnicodeDecodeError) as error:
            raise basic.wrong("the user is no device id") from error
        kept = await self._try(name)
        try:
            is_right = await self.aside(partial(rules.matches, kept, text))
        except BaseException:  # the end of the request's time, too
            await asyncio.shield(self._note(name, kept.salt, OneTimePasscode.given_back))
            raise
        if not is_right:
            raise _wrong(name, "the one-time passcode is wrong")
        await asyncio.shield(self._note(name, kept.salt, OneTimePasscode.known))
        return OneTimePasscodeHolder(name, kept.salt)

    async def _try(self, name: DeviceId) -> OneTimePasscode:
        """The passcode as it is kept, once the try is counted."""

        def counted(known: Snapshot) -> tuple[Device, OneTimePasscode]:
            device = known.device
            if device is None or device.device_id != name or device.passcode is None:
                raise basic.wrong("no device of that name has a one-time passcode")
            why = device.passcode.closed(self.clock())
            if why:
                raise _wrong(name, why)
            return replace(device, passcode=device.passcode.tried()), device.passcode

        return await self._write(name, counted)

    async def _note(self, name: DeviceId, salt: bytes, change: Callable[[OneTimePasscode], OneTimePasscode]) -> None:
        """What the try has come to. If that cannot be written the try stays counted, until the next right one."""

        def noted(known: Snapshot) -> tuple[Device | None, None]:
            device = known.device
            if device is None or device.passcode is None or device.passcode.salt != salt:
                return None, None  # there is another one since
            after = change(device.passcode)
            return (replace(device, passcode=after) if after != device.passcode else None), None

        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_NOTE_SECONDS):
                await self._write(name, noted)

    async def _write[T](self, name: DeviceId, decide: Callable[[Snapshot], tuple[Device | None, T]]) -> T:
        """What is decided of the device as it stands there is written down, if anything is. Raises Unavailable.

        Of several requests for one device one gets through each time: the others wait, each for another time.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            known = await self.ledger.load(name)
            after, answer = decide(known)
            if after is None:
                return answer
            try:
                await self.ledger.commit(known, Change(after))
            except StaleVersionError:
                await self.pause(_WAIT * attempt * self.random(1)[0] / 255)
                continue
            return answer
        raise Unavailable("the device's record is changing too fast; try again", retry_after=5)


def _wrong(device: DeviceId, cause: str) -> Unauthenticated:
    """For a device that is known: the log may name it."""
    refusal = basic.wrong(cause)
    refusal.device_id = device
    return refusal
