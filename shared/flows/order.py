"""What `once.py` is asked for: one wish for a certificate, authorized."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.core.csr import SigningRequest
from shared.core.fleet import BatchRow, Snapshot, Source
from shared.core.identity import DeviceId
from shared.core.profile import Profile


@dataclass(frozen=True, slots=True)
class Order:
    """One wish for a certificate, authorized. `renews` is DigiCert ONE's id of what it renews, or empty.

    `presented` is the serial of the issued certificate that the device has just proven to use, or empty.

    `salt` is that of the one-time passcode that the device has proven to know, or empty. `batch` says whose row it is.

    `admit` decides again whenever the ledger was read again, and raises Forbidden: the device may have been blocked, or
    enrolled by somebody else.
    """

    device_id: DeviceId
    profile: Profile
    request: SigningRequest
    claim_key: str
    admit: Callable[[Snapshot], object]
    source: Source = "est"
    renews: str = ""
    presented: str = ""
    salt: bytes = b""
    batch: BatchRow | None = None
