"""What DigiCert ONE's lists say of a certificate that DPS, a hub, a device or an import has shown."""

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509

from shared.core.adoption import Seen, is_seen, whole
from shared.flows.ports.inventory import Inventory
from shared.flows.ports.issuance import Answer


@dataclass(frozen=True, slots=True)
class Found:
    """What was seen, whole, and whether DigiCert ONE lists it as revoked."""

    leaf: x509.Certificate
    digicert_id: str = ""
    is_revoked: bool = False


async def find(inventory: Inventory | None, seen: Seen) -> Found | None:
    """The certificate as DigiCert ONE has it, or as it came. Raises as Inventory, and Forbidden.

    The list of valid ones is read first: what is revoked meanwhile stands on the other by then.
    """
    shown = whole(seen)
    if inventory is not None:
        valid = _among(await inventory.named(seen.common_name), seen, shown)
        if valid is not None:
            return Found(valid.certificates[0], valid.digicert_id)
        revoked = _among(await inventory.revoked(seen.common_name), seen, shown)
        if revoked is not None:
            return Found(revoked.certificates[0], revoked.digicert_id, is_revoked=True)
    return Found(shown) if shown is not None else None


def _among(listed: Iterable[Answer], seen: Seen, shown: x509.Certificate | None) -> Answer | None:
    return next((answer for answer in listed if is_seen(answer.certificates[0], seen, shown)), None)
