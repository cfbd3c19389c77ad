"""How a renewed certificate takes the place of the old one, in a DPS enrollment and in an IoT Hub identity.

Both hold two certificates. IoT Hub admits the thumbprints alone, so while a device changes over, the certificate in use
and the newest one must stand there together. `Device` says how far it has come:

    current == latest                       settled
    current != latest, rotating_since set   a rotation: the newest was given to whoever presented the one in use, so
                                            time (the grace) and EST (presenting the newest) prove that it took over
    current != latest, rotating_since None  the newest stands beside: only DPS or the hub can prove that it took over,
                                            or EST where it had taken over before and DPS found the old one in use.
                                            aziot-certd asks for its certificates with another one, its EST identity,
                                            of the same name (iot-identity-service, cert/aziot-certd/src/est.rs), which
                                            must never take the place of the one that the hub knows
    current empty                           never seen, neither in a hub nor with EST
"""

import dataclasses
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from shared.core.certificate import Certificate
from shared.core.fleet import Block, Change, Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.core.lifecycle import event

type Slot = Literal["primary", "secondary"]

TROUBLE: Final = 60
LONGEST_TROUBLE: Final = 1_800


@dataclass(frozen=True, slots=True)
class Slots:
    """Thumbprints as they stand in DPS or in the hub; empty for a free slot."""

    primary: str = ""
    secondary: str = ""

    @property
    def held(self) -> tuple[str, ...]:
        """What stands there, each once."""
        return tuple(dict.fromkeys(one.lower() for one in (self.primary, self.secondary) if one))


def opened(known: Snapshot, device: Device, presented: str, now: datetime) -> Device:
    """The device after a certificate was issued to who presented the one of that serial, or none."""
    current, shown = known.certificate(device.current), known.certificate(presented)
    device = dataclasses.replace(device, asked_with=presented)
    if device.current == "" and shown is not None and shown.status == "issued":
        device = dataclasses.replace(device, current=presented)  # until a hub says otherwise
    if device.current in ("", device.latest):
        return device
    if presented == device.current:
        return dataclasses.replace(device, rotating_since=now)
    changing = device.rotating_since is not None or (current is not None and current.status == "superseded")
    if changing and shown is not None and shown.status == "issued":
        # The newest before this one: it was given to the holder of the one in use, who has now come with it.
        return dataclasses.replace(device, current=presented, rotating_since=now)
    return dataclasses.replace(device, rotating_since=None)


def observed(known: Snapshot, device: Device, found: Slots, now: datetime) -> Device:
    """The device, once the hub has been read: a certificate that stands alone there is in use.

    DPS writes the certificate of each registration into both slots (Azure/iotedge#2951), and nobody else does before
    the ledger says that it is settled. Of a device that was never seen in a hub, the first one there is in use. If it
    is the one that asked for the newest, this is a rotation; but a device that has gone back from the newest, as from
    a backup, may know nothing of that any more.
    """
    if len(_same(known, found)) != 1 and device.current:
        return device
    ours = (known.by_thumbprint(one) for one in found.held)
    used = next((one.certificate.serial for one in ours if one is not None and one.status != "revoked"), "")
    if used in ("", device.current):
        return device
    asked = used == device.asked_with and device.current != device.latest
    return dataclasses.replace(device, current=used, rotating_since=now if asked else None)


def proven(device: Device) -> Device:
    """The device has used its newest certificate with DPS or with its hub."""
    return dataclasses.replace(device, current=device.latest, rotating_since=None)


def deadline(known: Snapshot, device: Device, grace: timedelta) -> datetime | None:
    """When the certificate in use may go without proof that the newest took over; None when none has to go."""
    current = known.certificate(device.current)
    if current is None or device.current == device.latest:
        return None
    end = current.certificate.not_after
    return min(end, device.rotating_since + grace) if device.rotating_since else end


def timed(known: Snapshot, device: Device, found: Slots, now: datetime, grace: timedelta) -> Device:
    """The device, with its rotation at an end if the time for that has come."""
    end, current, latest = deadline(known, device, grace), known.certificate(device.current), _latest(known, device)
    if device.block is not Block.NONE or end is None or now < end or current is None or latest is None:
        return device
    if now <= current.certificate.not_after and found.held and not _holds(found, latest):
        # The hub has never let the newest in, or DPS has thrown it out since: its time begins when it stands there.
        return dataclasses.replace(device, rotating_since=now)
    return proven(device)


def hub_slots(known: Snapshot, device: Device, found: Slots) -> Slots | None:
    """What the hub's identity has to hold; None when it does so already, or is not ours to change.

    A thumbprint that the ledger does not know may be in use too (a certificate of before, or one to be adopted): it
    goes only where both of ours need the room.
    """
    latest, current = _latest(known, device), known.certificate(device.current)
    foreign = [one for one in found.held if known.by_thumbprint(one) is None]
    if latest is None or not found.held or len(foreign) == 2 or (current is None and len(_same(known, found)) == 2):
        return None  # without a thumbprint the identity authenticates in another way
    kept = (current or latest).certificate.thumbprint
    if foreign and not (current not in (None, latest) and _holds(found, current)):
        kept = foreign[0]
    wanted = Slots(kept, latest.certificate.thumbprint)
    return None if _same(known, found) == _same(known, wanted) else wanted


def enrollment_step(
    slots: Slots, latest: Certificate, current: Certificate | None, *, settled: bool
) -> tuple[Slot, Certificate] | None:
    """What to write next into the individual enrollment; None when it is as it has to be.

    `current` is the certificate that the device is known to use, if it is known; once settled, `latest` is the one.
    """
    slot = slot_for(latest, slots, current.thumbprint if current else "")
    if slot is not None:
        return slot, latest
    other: Slot = "secondary" if latest.thumbprint == slots.primary else "primary"
    there = slots.secondary if other == "secondary" else slots.primary
    if settled:
        return (other, latest) if there not in ("", latest.thumbprint) else None
    return (other, current) if current is not None and current.thumbprint != there else None


def slot_for(new: Certificate, slots: Slots, in_use: str) -> Slot | None:
    """Where the new certificate goes, so that the one in use stays; None when it has its place already.

    `in_use` is the thumbprint of the certificate that the device is known to use, or empty. The other slot is
    overwritten: what stood there is older than the one in use, or was never proven.
    """
    if new.thumbprint in (slots.primary, slots.secondary):
        return None
    if not slots.primary or in_use == slots.secondary != "":
        return "primary"
    return "secondary"


def change(known: Snapshot, before: Device, after: Device, now: datetime) -> Change:
    """What to write when the device went from `before` to `after`: the certificate that gave way is superseded.

    One that a device goes back to stays superseded. One that its CA has revoked meanwhile now counts as that.
    """
    left, came = known.certificate(before.current), known.certificate(after.current)
    if before.current in (after.current, after.latest) or left is None or came is None:
        return Change(after)
    gone = dataclasses.replace(left, status="revoked" if left.revoked_by_ca else "superseded")
    certificates = (gone,) if left.status == "issued" or left.revoked_by_ca else ()
    settled = event(
        "settled",
        after.device_id,
        now,
        after.current,
        serial=after.current,
        thumbprint=came.certificate.thumbprint,
        not_after=came.certificate.not_after.isoformat(),
        superseded=before.current,
        hub=after.hub,
    )
    return Change(after, certificates, events=(settled,))


def delay(device: DeviceId, tries: int, retry_after: int) -> int:
    """The seconds until a hub or DPS in trouble is asked about this device again: a minute up to half an hour.

    Up to a fifth more, by device: thousands of them may wait for the same hub.
    """
    seconds = max(retry_after, min(LONGEST_TROUBLE, TROUBLE << min(tries, 10)))
    return seconds + seconds * (zlib.crc32(device.encode()) % 21) // 100


def _latest(known: Snapshot, device: Device) -> LedgerCertificate | None:
    """The newest certificate, if it may be let in."""
    latest = known.certificate(device.latest)
    return None if latest is None or latest.status == "revoked" else latest


def _holds(slots: Slots, one: LedgerCertificate | None) -> bool:
    return one is not None and any(
        held in (one.certificate.thumbprint, one.certificate.thumbprint_sha1) for held in slots.held
    )


def _same(known: Snapshot, slots: Slots) -> set[str]:
    """What the slots mean: IoT Hub takes SHA-1 and SHA-256 in either case for the same certificate."""
    found = ((one, known.by_thumbprint(one)) for one in slots.held)
    return {of.certificate.thumbprint if of else one for one, of in found}
