"""DigiCert ONE IoT Trust Manager over REST (`/iot/api/v1`): issue, renew, and find what was issued before."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.adapters.digicert import ISSUE_SECONDS, LOOK_UP_SECONDS, Session, refusal
from shared.adapters.digicert_list import JSON, of_name, too_many, unread
from shared.adapters.transport import Call
from shared.core.certificate import certificate
from shared.core.csr import SigningRequest
from shared.core.errors import Malformed, UpstreamRefused
from shared.flows.ports.issuance import Answer, Pending

_POLL_AFTER: Final = 60
# One certificate after the other would take minutes for a device that has had many.
_READ_AT_ONCE: Final = 8
_MOST_READ: Final = 500


@dataclass(frozen=True)
class Certificates:
    """The certificate list of one enrollment profile. `url` is the platform's address without a path."""

    session: Session
    url: str
    enrollment_profile_id: str

    async def find(self, request: SigningRequest) -> Answer | None:
        """The newest certificate that holds the request's public key, among those of the same common name."""
        profile = self.enrollment_profile_id
        answers = await self._listed(request.common_name, "ISSUED", enrollment_profile_id=profile)
        fitting = [one for one in answers if certificate(one.certificates[0]).spki_sha256 == request.spki_sha256]
        # The order of the list is not documented.
        return max(fitting, key=lambda one: one.certificates[0].not_valid_before_utc, default=None)

    async def named(self, common_name: str) -> tuple[Answer, ...]:
        """The valid certificates of that common name, of every enrollment profile.

        A profile of DigiCert ONE serves one protocol, so what came by another one stands under another profile.
        """
        return await self._listed(common_name, "ISSUED")

    async def revoked(self, common_name: str) -> tuple[Answer, ...]:
        """The revoked ones of that common name, those on hold among them (unsure), of every enrollment profile."""
        return await self._listed(common_name, "REVOKED")

    async def _listed(self, common_name: str, status: str, **filters: str) -> tuple[Answer, ...]:
        listed = of_name(self.session, self.url, common_name, status=status, **filters)
        records = [record async for record in listed]
        if sum(not record.get("pem") for record in records) > _MOST_READ:
            raise too_many(common_name)
        free = asyncio.Semaphore(_READ_AT_ONCE)

        async def answer(record: Mapping[str, Any]) -> Answer | None:
            async with free:
                return await self._answer(record)

        try:
            async with asyncio.TaskGroup() as reading:
                tasks = [reading.create_task(answer(record)) for record in records]
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several
        return tuple(one for task in tasks if (one := task.result()) is not None)

    async def _answer(self, record: Mapping[str, Any]) -> Answer | None:
        """The record with its certificate. Whether the list shows `pem` is not documented, so the record is read."""
        ident = str(record.get("id") or "")
        chain = pem_chain(record.get("pem")) or (await self._chain(ident) if ident else [])
        return Answer(chain, ident) if chain else None

    async def _chain(self, ident: str) -> list[x509.Certificate]:
        """Leaf first; none where DigiCert ONE has no such record any more."""
        url = f"{self.url}/iot/api/v1/certificate/{quote(ident, safe='')}"
        response = await self.session.send(Call("GET", url, headers=JSON, seconds=LOOK_UP_SECONDS))
        if response.status_code == 404:
            return []
        if response.status_code != 200:
            raise unread(response)
        return pem_chain(_json(response).get("pem"))


@dataclass(frozen=True)
class RestUpstream:
    """Issues through the enrollment profile of `certificates`."""

    certificates: Certificates

    async def issue(self, request: SigningRequest, renews: str) -> Answer | Pending:
        """A new certificate; a renewal of `renews` where DigiCert ONE takes it as one.

        It renews only inside the profile's renewal window and says 400 outside it; then the certificate is ordered
        as a new one, because the device's own renewal point is the profile's here.
        """
        pem = x509.load_der_x509_csr(request.der).public_bytes(Encoding.PEM).decode()
        if renews:
            try:
                return await self._order("PUT", f"/certificate/{renews}/renew", {"csr": pem})
            except Malformed:
                pass
            except UpstreamRefused as error:
                if not error.nothing_issued:
                    raise
        body = {
            "csr": pem,
            "enrollment_profile_id": self.certificates.enrollment_profile_id,
            "device_attributes": [{"id": "DEVICE_IDENTIFIER", "value": request.common_name}],
        }
        return await self._order("POST", "/certificate", body)

    async def poll(self, request: SigningRequest) -> Answer | Pending:
        """An order waits for approval: ordering again would make a second one, so the list is asked."""
        return await self.find(request) or Pending(_POLL_AFTER)

    async def find(self, request: SigningRequest) -> Answer | None:
        return await self.certificates.find(request)

    async def _order(self, method: str, path: str, body: Mapping[str, object]) -> Answer | Pending:
        call = Call(
            method,
            f"{self.certificates.url}/iot/api/v1{path}",
            headers=JSON,
            content=json.dumps(body).encode(),
            repeatable=False,
            seconds=ISSUE_SECONDS,
        )
        response = await self.certificates.session.send(call)
        if response.status_code == 202:
            return Pending(self.certificates.session.transport.retry_after(response, otherwise=_POLL_AFTER))
        if response.status_code not in (200, 201):
            raise refusal(response)
        answer = _json(response)
        chain = pem_chain(answer.get("pem"))
        if chain:
            return Answer(chain, str(answer.get("certificate_id") or ""))
        if answer.get("certificate_request_id"):
            return Pending(_POLL_AFTER)  # the names of the states before approval are not documented
        raise UpstreamRefused("the CA's answer cannot be read", cause="neither pem nor certificate_request_id")


def pem_chain(text: object) -> list[x509.Certificate]:
    """The certificates in a `pem` field, leaf first; none when there is no such field. Raises UpstreamRefused."""
    if not isinstance(text, str) or not text:
        return []
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise UpstreamRefused("the CA's answer cannot be read", cause=str(error)) from error


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError as error:
        raise UpstreamRefused("the CA's answer cannot be read", cause="not JSON") from error
    if not isinstance(body, dict):
        raise UpstreamRefused("the CA's answer cannot be read", cause="not a JSON object")
    return body
