"""One-time passcodes: made for one device, shown once, tried a few times, burnt by the certificate."""

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
from shared.flows.ports.clock import Clock
from shared.flows.ports.ledger import Ledger, StaleVersionError

type Random = Callable[[int], bytes]

_ATTEMPTS: Final = 5


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
    cost: int = rules.COST

    async def make(self, device: DeviceId, label: Label, valid: timedelta) -> Made:
        """A new passcode; an earlier one of the device is worth nothing any more.

        `label` is for a device that is not known yet. Raises NotFound, Conflict, Malformed.
        """
        text = rules.passcode(self.random(rules.RANDOM_BYTES))
        salt = self.random(rules.SALT_BYTES)
        digest = await self.aside(partial(rules.digest, text, salt, self.cost))
        made = OneTimePasscode(salt, digest, self.clock() + valid, self.cost)
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(device)
            owner = self._owner(known, device, label)
            try:
                await self.ledger.commit(known, Change(replace(owner, passcode=made)))
            except StaleVersionError:
                continue
            return Made(owner.device_id, text, made.expires)
        raise _changing()

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

        The try is counted before the passcode is compared, and taken back when it was right: however many guess at
        the same time, they have MAX_FAILURES tries.
        """
        try:
            name, text = device_id(given.user.decode()), given.password.decode().strip()
        except (Malformed, UnicodeDecodeError) as error:
            raise basic.wrong("the user is no device id") from error
        kept = await self._try(name)
        if not await self.aside(partial(rules.matches, kept, text)):
            raise _wrong(name, "the one-time passcode is wrong")
        await self._change(name, kept.salt, OneTimePasscode.known)
        return OneTimePasscodeHolder(name, kept.salt)

    async def _try(self, name: DeviceId) -> OneTimePasscode:
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(name)
            device = known.device
            if device is None or device.device_id != name or device.passcode is None:
                raise basic.wrong("no device of that name has a one-time passcode")
            why = device.passcode.closed(self.clock())
            if why:
                raise _wrong(name, why)
            try:
                await self.ledger.commit(known, Change(replace(device, passcode=device.passcode.tried())))
            except StaleVersionError:
                continue
            return device.passcode
        raise _changing()

    async def _change(self, name: DeviceId, salt: bytes, change: Callable[[OneTimePasscode], OneTimePasscode]) -> None:
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(name)
            device = known.device
            if device is None or device.passcode is None or device.passcode.salt != salt:
                return  # there is another one since
            try:
                await self.ledger.commit(known, Change(replace(device, passcode=change(device.passcode))))
            except StaleVersionError:
                continue
            return
        raise _changing()


def _wrong(device: DeviceId, cause: str) -> Unauthenticated:
    """For a device that is known: the log may name it."""
    refusal = basic.wrong(cause)
    refusal.device_id = device
    return refusal


def _changing() -> Unavailable:
    return Unavailable("the device's record is changing too fast; try again", retry_after=5)
