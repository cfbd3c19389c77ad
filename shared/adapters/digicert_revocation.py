"""IoT Trust Manager: revoke a certificate, and list what is revoked there.

https://dev.digicert.com/en/digicert-one/iot-device-manager/iot-certificates/revoke-certificate/
"""

import json
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from cryptography import x509
from cryptography.x509.oid import NameOID

from shared.adapters.digicert import LOOK_UP_SECONDS, Session, refusal
from shared.adapters.digicert_list import JSON, get, of_name, page, serial_of
from shared.adapters.transport import Call
from shared.core.certificate import Certificate
from shared.core.fleet import LedgerCertificate
from shared.core.revocation import DIGICERT, Reason
from shared.flows.ports.revocation import RevokedPage

_MOST_COMMENT: Final = 500


@dataclass(frozen=True)
class DigicertRevocation:
    """`url` is the platform's address without a path; the session's credential is a service user's."""

    session: Session
    url: str

    async def revoke(self, certificate: LedgerCertificate, why: Reason, comment: str) -> None:
        """By DigiCert ONE's own id of the certificate: no path of this API takes a serial number."""
        ident = certificate.digicert_id or await self._id_of(certificate.certificate)
        if not ident:
            return
        at = f"{self.url}/iot/api/v1/certificate/{quote(ident, safe='')}"
        body = json.dumps({"reason": DIGICERT[why], "comments": comment[:_MOST_COMMENT]}).encode()
        call = Call("PUT", f"{at}/revoke", headers=JSON, content=body, seconds=LOOK_UP_SECONDS)
        response = await self.session.send(call)
        if response.status_code in (200, 204, 404):
            return
        if response.status_code in (400, 409, 422) and (await get(self.session, at)).get("status") == "REVOKED":
            return  # what DigiCert ONE answers to a second revocation is not documented
        raise refusal(response)

    async def _id_of(self, certificate: Certificate) -> str:
        """Of a certificate that came by EST, which tells no id. No filter by serial number is known."""
        subject = x509.load_der_x509_certificate(certificate.der).subject
        name = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        async with aclosing(of_name(self.session, self.url, name)) as records:
            async for record in records:
                if serial_of(record) == certificate.serial:
                    return str(record.get("id") or "")
        return ""


@dataclass(frozen=True)
class DigicertRevoked:
    """The revoked certificates of one account, of every enrollment profile.

    A profile of DigiCert ONE serves one protocol, so what came by another one than the label's stands under another
    profile. The ledger knows which of them are ours.
    """

    session: Session
    url: str

    async def page(self, offset: int) -> RevokedPage:
        found = await page(self.session, self.url, offset, status="REVOKED")
        return RevokedPage(tuple(filter(None, map(serial_of, found.records))), found.next, found.total)
