"""What `once.py` is asked for: one wish for a certificate, authorized."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.core.csr import SigningRequest
from shared.core.fleet import Snapshot, Source
from shared.core.identity import DeviceId
from shared.core.profile import Profile


@dataclass(frozen=True, slots=True)
class Order:
    """One wish for a certificate, authorized. `renews` is DigiCert ONE's id of what it renews, or empty.

    `presented` is the serial of the issued certificate that the device has just proven to use, or empty.

    `burns_passcode` when the device has proven to know its one-time passcode. `batch` is the id of the batch, or empty.

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
    burns_passcode: bool = False
    batch: str = ""
