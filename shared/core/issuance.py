"""What is written down when a certificate was issued: it is the newest of its device, and may begin a rotation."""

from dataclasses import replace
from datetime import datetime

from shared.core import rotation
from shared.core.fleet import Change, Device, LedgerCertificate, Snapshot
from shared.core.lifecycle import event


def change(known: Snapshot, device: Device, issued: LedgerCertificate, presented: str, now: datetime) -> Change:
    """All in one: were the rotation written down later, a crash could lose which certificate the device came with.

    `presented` is the serial of that certificate, or empty. The outbox keeps what the world is to be told until it is
    published, so that no device waits for the topic.
    """
    made = issued.certificate
    newest = replace(device, latest=made.serial)
    opened = rotation.opened(known, newest, presented, now)
    proven = rotation.change(known, newest, opened, now)
    earlier = any(one.certificate.serial != made.serial for one in known.certificates)
    happened = event(
        "renewed" if presented or earlier else "issued",
        device.device_id,
        now,
        made.serial,
        serial=made.serial,
        thumbprint=made.thumbprint,
        not_after=made.not_after.isoformat(),
        label=issued.label,
    )
    return Change(opened, (issued, *proven.certificates), events=(happened, *proven.events))
