"""IoT Trust Manager: revoke a certificate, and list what is revoked there.

https://dev.digicert.com/en/digicert-one/iot-device-manager/iot-certificates/revoke-certificate/
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx
from cryptography import x509
from cryptography.x509.oid import NameOID

from shared.adapters.digicert import LOOK_UP_SECONDS, Session, refusal
from shared.adapters.transport import Call
from shared.core.certificate import Certificate
from shared.core.errors import UpstreamRefused
from shared.core.fleet import LedgerCertificate
from shared.core.revocation import DIGICERT, Reason
from shared.flows.ports.revocation import RevokedPage

_JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}
_PAGE: Final = 100
_MOST_PAGES: Final = 20  # of the certificates of one common name
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
        call = Call("PUT", f"{at}/revoke", headers=_JSON, content=body, seconds=LOOK_UP_SECONDS)
        response = await self.session.send(call)
        if response.status_code in (200, 204, 404):
            return
        if response.status_code in (400, 409, 422) and (await _get(self.session, at)).get("status") == "REVOKED":
            return  # what DigiCert ONE answers to a second revocation is not documented
        raise refusal(response)

    async def _id_of(self, certificate: Certificate) -> str:
        """Of a certificate that came by EST, which tells no id. No filter by serial number is known."""
        subject = x509.load_der_x509_certificate(certificate.der).subject
        name = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        offset = 0
        for _ in range(_MOST_PAGES):
            page = await _page(self.session, self.url, offset, common_name=name)
            for record in page.records:
                if _serial(record) == certificate.serial:
                    return str(record.get("id") or "")
            if page.next >= page.total:
                return ""
            offset = page.next
        raise UpstreamRefused("the CA lists too many certificates of one device", nothing_issued=True, cause=name)


@dataclass(frozen=True)
class DigicertRevoked:
    """The revoked certificates of one enrollment profile."""

    session: Session
    url: str
    enrollment_profile_id: str

    async def page(self, offset: int) -> RevokedPage:
        profile = self.enrollment_profile_id
        page = await _page(self.session, self.url, offset, enrollment_profile_id=profile, status="REVOKED")
        return RevokedPage(tuple(filter(None, map(_serial, page.records))), page.next, page.total)


@dataclass(frozen=True, slots=True)
class _Page:
    """`next` is the offset of the page after it, `total` the length of the list as far as is known."""

    records: tuple[Mapping[str, Any], ...]
    next: int
    total: int


async def _page(session: Session, url: str, offset: int, **filters: str) -> _Page:
    """One page of the certificate list; the envelope is that of the other lists (unsure).

    The server may give fewer records than it was asked for: only an empty page, or the total, ends the list.
    """
    query = httpx.QueryParams(**filters, offset=str(offset), limit=str(_PAGE))
    found = await _get(session, f"{url}/iot/api/v1/certificate/?{query}")
    match found:
        case {"records": list(records)}:
            following = offset + len(records)
            told = found.get("total")
            total = told if isinstance(told, int) else following + (1 if records else 0)
            known = tuple(one for one in records if isinstance(one, Mapping))
            return _Page(known, following, total if records else following)
        case _:
            raise UpstreamRefused("the CA's answer cannot be read", cause="a certificate list without records")


async def _get(session: Session, url: str) -> Mapping[str, Any]:
    response = await session.send(Call("GET", url, headers=_JSON, seconds=LOOK_UP_SECONDS))
    if response.status_code != 200:
        raise refusal(response)
    try:
        body = response.json()
    except ValueError as error:
        raise UpstreamRefused("the CA's answer cannot be read", cause="not JSON") from error
    return body if isinstance(body, Mapping) else {}


def _serial(record: Mapping[str, Any]) -> str:
    """As the ledger writes it; DigiCert ONE prints capitals and leading zeros (unsure: perhaps not always)."""
    try:
        return f"{int(str(record.get('serial_number')), 16):x}"
    except ValueError:
        return ""
