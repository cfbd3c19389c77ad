"""The DPS service API for enrollment groups: which issuing CAs a group trusts.

https://learn.microsoft.com/rest/api/iot-dps/service/enrollment-group/create-or-update
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.adapters.dps import READ_ONLY, DpsService, document, quoted, thumbprint
from shared.core.rotation import Slot, Slots
from shared.flows.ports.dps import Group


@dataclass(frozen=True)
class DpsGroups:
    service: DpsService

    async def read(self, group: str) -> Group | None:
        response = await self.service.send("GET", _path(group))
        if response.status_code == 404:
            return None
        found = document(response)
        attestation = found["attestation"].get("x509") or {}
        signing = attestation.get("signingCertificates") or {}
        slots = Slots(thumbprint(signing.get("primary")), thumbprint(signing.get("secondary")))
        return Group(slots, attestation.get("caReferences") is not None, found)

    async def put(self, group: str, found: Group, change: Mapping[Slot, x509.Certificate | None]) -> None:
        """DPS never gives a certificate back, so one that stays goes back as its `info`, as Microsoft's CLI does it."""
        there: dict[str, Any] = dict(found.document)
        slots = dict((there["attestation"].get("x509") or {}).get("signingCertificates") or {})
        for slot, wanted in change.items():
            slots[slot] = {"certificate": wanted.public_bytes(Encoding.PEM).decode()} if wanted is not None else None
        filled = {slot: held for slot, held in slots.items() if held is not None}
        there["attestation"] = {"type": "x509", "x509": {"signingCertificates": filled}}
        body = {key: value for key, value in there.items() if key not in READ_ONLY}
        document(await self.service.send("PUT", _path(group), {"If-Match": quoted(there["etag"])}, body))


def _path(group: str) -> str:
    return f"/enrollmentGroups/{quote(group, safe='')}"
