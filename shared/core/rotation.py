"""How a renewed certificate takes its place beside the old one in a DPS individual enrollment."""

from dataclasses import dataclass
from typing import Literal

from shared.core.certificate import Certificate

type Slot = Literal["primary", "secondary"]


@dataclass(frozen=True, slots=True)
class Slots:
    """The SHA-256 thumbprints in an individual enrollment, lower case; empty for a free slot."""

    primary: str = ""
    secondary: str = ""


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
