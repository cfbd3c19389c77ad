"""The DPS service API for individual enrollments. No maintained SDK exists, so the few REST calls stand here."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.adapters.transport import Call, Transport
from shared.core.certificate import Certificate
from shared.core.errors import Misconfigured, Throttled, Unavailable
from shared.core.identity import DeviceId
from shared.core.rotation import Slot, Slots
from shared.flows.ports import Enrollment, StaleVersionError

API_VERSION: Final = "2021-10-01"  # the stable version that Microsoft's documentation and CLI use
SCOPE: Final = "https://azure-devices-provisioning.net/.default"
_SECONDS: Final = 5.0
_READ_ONLY: Final = ("createdDateTimeUtc", "lastUpdatedDateTimeUtc", "etag", "registrationState")


@dataclass(frozen=True)
class DpsEnrollments:
    """`host` is the service host of the DPS; `token` gives a bearer token for SCOPE."""

    transport: Transport
    client: httpx.AsyncClient
    host: str
    token: Callable[[], Awaitable[str]]

    async def read(self, device: DeviceId) -> Enrollment | None:
        response = await self._send("GET", device)
        if response.status_code == 404:
            return None
        document = _document(response)
        certificates = (document["attestation"].get("x509") or {}).get("clientCertificates") or {}
        return Enrollment(
            Slots(_thumbprint(certificates.get("primary")), _thumbprint(certificates.get("secondary"))), document
        )

    async def put(
        self, device: DeviceId, hub_host: str, slot: Slot, certificate: Certificate, found: Enrollment | None
    ) -> None:
        """The other slot goes back as DPS gave it, with `info` and without a certificate, as Microsoft's CLI does."""
        pem = x509.load_der_x509_certificate(certificate.der).public_bytes(Encoding.PEM).decode()
        document: dict[str, Any] = dict(found.document) if found else _new(device, hub_host)
        kept = (document["attestation"].get("x509") or {}).get("clientCertificates") or {}
        document["attestation"] = {"type": "x509", "x509": {"clientCertificates": {**kept, slot: {"certificate": pem}}}}
        body = {key: value for key, value in document.items() if key not in _READ_ONLY}
        # Without If-Match a PUT creates or overwrites; DPS documents no condition for "nothing is there yet".
        condition = {"If-Match": _quoted(document["etag"])} if found else {}
        _document(await self._send("PUT", device, condition, json.dumps(body).encode()))

    async def ping(self) -> None:
        """Raises Unavailable, Misconfigured unless DPS answers."""
        await self.read(DeviceId("birthcert-readiness"))

    async def _send(
        self, method: str, device: DeviceId, headers: dict[str, str] | None = None, content: bytes = b""
    ) -> httpx.Response:
        call = Call(
            method,
            f"https://{self.host}/enrollments/{quote(device, safe='')}?api-version={API_VERSION}",
            headers={
                "Authorization": f"Bearer {await self.token()}",
                "Content-Type": "application/json",
                **(headers or {}),
            },
            content=content,
            seconds=_SECONDS,  # a PUT states the whole enrollment, so sending it again does no harm
        )
        try:
            return await self.transport.send(self.client, call)
        except Throttled as error:
            raise Unavailable(error.public, retry_after=error.retry_after, cause=f"DPS: {error.cause}") from error


def _new(device: DeviceId, hub_host: str) -> dict[str, Any]:
    """A new enrollment: its device goes to the hub that the allocation rule chooses, and keeps its data."""
    return {
        "registrationId": device,
        "deviceId": device,
        "attestation": {"type": "x509"},
        "provisioningStatus": "enabled",
        "allocationPolicy": "static",
        "iotHubs": [hub_host],
        "reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": True},
    }


def _document(response: httpx.Response) -> dict[str, Any]:
    status = response.status_code
    if status in (409, 412):
        raise StaleVersionError
    if status != 200:
        raise Misconfigured("the service is not set up correctly", cause=f"DPS answers {status}: {response.text[:300]}")
    try:
        document: dict[str, Any] = response.json()
    except ValueError as error:
        raise Unavailable("a service that is needed fails", retry_after=5, cause="DPS: not JSON") from error
    return document


def _thumbprint(slot: dict[str, Any] | None) -> str:
    return str(((slot or {}).get("info") or {}).get("sha256Thumbprint") or "").lower()


def _quoted(etag: str) -> str:
    """DPS puts the quotes of an ETag inside the JSON string, but not always; the header needs them."""
    return etag if etag.startswith('"') else f'"{etag}"'
