"""The DPS service API for individual enrollments. No maintained SDK exists, so the few REST calls stand here."""

import json
from collections.abc import Awaitable, Callable, Mapping
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
from shared.flows.ports.dps import Enrollment
from shared.flows.ports.ledger import StaleVersionError

API_VERSION: Final = "2021-10-01"  # the stable version that Microsoft's documentation and CLI use
SCOPE: Final = "https://azure-devices-provisioning.net/.default"
READ_ONLY: Final = ("createdDateTimeUtc", "lastUpdatedDateTimeUtc", "etag", "registrationState")
_SECONDS: Final = 5.0
_ATTEMPTS: Final = 4
_BLOCK: Final = {"birthcert": "block"}  # in optionalDeviceInformation: this enrollment is there to keep a device out


@dataclass(frozen=True)
class DpsService:
    """`host` is the service host of the DPS; `token` gives a bearer token for SCOPE."""

    transport: Transport
    client: httpx.AsyncClient
    host: str
    token: Callable[[], Awaitable[str]]

    async def send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: Mapping[str, object] | None = None
    ) -> httpx.Response:
        """A PUT states the whole entry and a DELETE names it, so sending either again does no harm."""
        call = Call(
            method,
            f"https://{self.host}{path}?api-version={API_VERSION}",
            headers={
                "Authorization": f"Bearer {await self.token()}",
                "Content-Type": "application/json",
                **(headers or {}),
            },
            content=b"" if body is None else json.dumps(body).encode(),
            seconds=_SECONDS,
        )
        try:
            return await self.transport.send(self.client, call)
        except Throttled as error:
            raise Unavailable(error.public, retry_after=error.retry_after, cause=f"DPS: {error.cause}") from error


@dataclass(frozen=True)
class DpsEnrollments:
    """`host` and `token` as in DpsService."""

    transport: Transport
    client: httpx.AsyncClient
    host: str
    token: Callable[[], Awaitable[str]]

    async def read(self, device: DeviceId) -> Enrollment | None:
        found = await self._get(device)
        if found is None:
            return None
        certificates = (found["attestation"].get("x509") or {}).get("clientCertificates") or {}
        slots = Slots(thumbprint(certificates.get("primary")), thumbprint(certificates.get("secondary")))
        return Enrollment(slots, found)

    async def put(
        self, device: DeviceId, hub_host: str, slot: Slot, certificate: Certificate, found: Enrollment | None
    ) -> None:
        """The other slot goes back as DPS gave it, with `info` and without a certificate, as Microsoft's CLI does."""
        pem = x509.load_der_x509_certificate(certificate.der).public_bytes(Encoding.PEM).decode()
        there: dict[str, Any] = dict(found.document) if found else _new(device, hub_host)
        kept = (there["attestation"].get("x509") or {}).get("clientCertificates") or {}
        there["attestation"] = {"type": "x509", "x509": {"clientCertificates": {**kept, slot: {"certificate": pem}}}}
        # Without If-Match a PUT creates or overwrites; DPS documents no condition for "nothing is there yet".
        await self._put(device, there, there["etag"] if found else "")

    async def block(self, device: DeviceId) -> None:
        """A symmetric key that nobody knows stands for the certificate of a group's device, as Microsoft advises.

        https://learn.microsoft.com/azure/iot-dps/how-to-unprovision-devices: it must never be deleted while the device
        is to stay out, because the group would let it in again. It keeps out every later certificate of that name too.
        """
        for _ in range(_ATTEMPTS):
            found = await self._get(device)
            if found is not None and found.get("provisioningStatus") == "disabled":
                return
            wanted = found if found is not None else _blocking(device)
            try:
                await self._put(device, {**wanted, "provisioningStatus": "disabled"}, found["etag"] if found else "")
            except StaleVersionError:
                continue
            return
        raise _too_fast()

    async def unblock(self, device: DeviceId) -> None:
        for _ in range(_ATTEMPTS):
            found = await self._get(device)
            if found is None:
                return
            try:
                if found.get("optionalDeviceInformation") == _BLOCK:
                    await self._delete(device, found["etag"])
                elif found.get("provisioningStatus") == "disabled":
                    await self._put(device, {**found, "provisioningStatus": "enabled"}, found["etag"])
            except StaleVersionError:
                continue
            return
        raise _too_fast()

    async def registration(self, device: DeviceId) -> str | None:
        response = await self._service.send("GET", f"/registrations/{quote(device, safe='')}")
        if response.status_code == 404:
            return None
        return document(response).get("assignedHub") or None

    async def ping(self) -> None:
        """Raises Unavailable, Misconfigured unless DPS answers."""
        await self.read(DeviceId("birthcert-readiness"))

    async def _get(self, device: DeviceId) -> dict[str, Any] | None:
        response = await self._service.send("GET", _path(device))
        return None if response.status_code == 404 else document(response)

    async def _put(self, device: DeviceId, wanted: Mapping[str, Any], etag: str) -> None:
        body = {key: value for key, value in wanted.items() if key not in READ_ONLY}
        document(await self._service.send("PUT", _path(device), {"If-Match": quoted(etag)} if etag else {}, body))

    async def _delete(self, device: DeviceId, etag: str) -> None:
        response = await self._service.send("DELETE", _path(device), {"If-Match": quoted(etag)})
        if response.status_code not in (204, 404):
            document(response)

    @property
    def _service(self) -> DpsService:
        return DpsService(self.transport, self.client, self.host, self.token)


def _path(device: DeviceId) -> str:
    return f"/enrollments/{quote(device, safe='')}"


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


def _blocking(device: DeviceId) -> dict[str, Any]:
    return {
        "registrationId": device,
        "attestation": {"type": "symmetricKey"},
        "optionalDeviceInformation": _BLOCK,
    }


def document(response: httpx.Response) -> dict[str, Any]:
    """The body of an answer to GET or PUT. Raises StaleVersionError, Misconfigured, Unavailable."""
    status = response.status_code
    if status in (409, 412):
        raise StaleVersionError
    if status != 200:
        raise Misconfigured("the service is not set up correctly", cause=f"DPS answers {status}: {response.text[:300]}")
    try:
        found: dict[str, Any] = response.json()
    except ValueError as error:
        raise Unavailable("a service that is needed fails", retry_after=5, cause="DPS: not JSON") from error
    return found


def thumbprint(slot: Mapping[str, Any] | None) -> str:
    """The SHA-256 thumbprint in a slot, lower case, or empty."""
    return str(((slot or {}).get("info") or {}).get("sha256Thumbprint") or "").lower()


def quoted(etag: str) -> str:
    """DPS puts the quotes of an ETag inside the JSON string, but not always; the header needs them."""
    return etag if etag.startswith('"') else f'"{etag}"'


def _too_fast() -> Unavailable:
    return Unavailable("the enrollment is changing too fast", retry_after=5)
