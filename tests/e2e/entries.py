"""What stands in DPS and in the hub about a device, as their own service APIs tell it and an operator changes it."""

import json
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives import hashes

from sandbox import device, entra, ports
from sandbox.device import Answer, Identity
from tests.e2e.living import Living
from tests.e2e.portal import Identity as ManagedIdentity
from tests.e2e.portal import Portal

type Json = dict[str, Any]

HUB_API: Final = "api-version=2021-04-12"
DPS_API: Final = "api-version=2021-10-01"
# What the hub itself keeps beside an identity: it changes while the device is connected, and with each write.
OF_THE_HUB: Final = {"etag", "connectionState", "connectionStateUpdatedTime", "lastActivityTime"}
# The same of DPS; `registrationState` is the device's own record.
OF_DPS: Final = {"etag", "lastUpdatedDateTimeUtc", "registrationState"}


@dataclass(frozen=True)
class Slots:
    """SHA-256 thumbprints, in lower case; empty where nothing stands."""

    primary: str
    secondary: str

    @property
    def held(self) -> set[str]:
        return {self.primary, self.secondary} - {""}


def thumbprint(identity: Identity) -> str:
    return identity.leaf.fingerprint(hashes.SHA256()).hex()


@dataclass(frozen=True)
class Entries:
    """The entries of one device."""

    portal: Portal
    device: Living

    def identity(self) -> Json:
        return self._hub("GET", f"/devices/{self.device.name}").json()

    def twin(self) -> Json:
        return self._hub("GET", f"/twins/{self.device.name}").json()

    def enrollment(self) -> Json | None:
        """None for a device of a group, unless it is blocked."""
        answer = self._dps("GET", f"/enrollments/{self.device.name}")
        return answer.json() if answer.status == 200 else None

    def in_hub(self) -> Slots:
        held = self.identity()["authentication"]["x509Thumbprint"]
        return Slots(*(str(held[slot] or "").lower() for slot in ("primaryThumbprint", "secondaryThumbprint")))

    def in_enrollment(self) -> Slots:
        return told((self.enrollment() or {})["attestation"]["x509"]["clientCertificates"])

    def in_group(self) -> Slots:
        """The issuing CAs that the group of the sandbox's devices trusts."""
        return told(self.group()["attestation"]["x509"]["signingCertificates"])

    def group(self) -> Json:
        return self._dps("GET", f"/enrollmentGroups/{ports.DPS_GROUP}").json()

    def made_special(self) -> None:
        """An operator has written what no default has into everything that a renewal touches."""
        name = self.device.name
        identity = self.identity() | {"statusReason": "on the roof of hall 7", "capabilities": {"iotEdge": True}}
        self._hub("PUT", f"/devices/{name}", identity)
        self._hub("PATCH", f"/twins/{name}", {"tags": {"hall": 7}, "properties": {"desired": {"interval": 30}}})
        enrollment = self.enrollment()
        if enrollment is not None:
            policy = {"updateHubAssignment": False, "migrateDeviceData": False}
            twin = {"tags": {"hall": 7}, "properties": {"desired": {"interval": 30}}}
            own = {"capabilities": {"iotEdge": True}, "reprovisionPolicy": policy, "initialTwin": twin}
            enrollment |= own | {"optionalDeviceInformation": {"note": "spare part"}}
            enrollment.pop("registrationState", None)
            self._dps("PUT", f"/enrollments/{name}", enrollment)

    def but_certificates(self) -> list[Json | None]:
        """All of the device's entries, and its group's, without what a renewal is there to change."""
        identity, enrollment, twin = self.identity(), self.enrollment(), self.twin()
        identity["authentication"].pop("x509Thumbprint")
        if enrollment is not None:
            enrollment["attestation"]["x509"].pop("clientCertificates")
        desired = twin["properties"]["desired"]
        return [
            without(identity, OF_THE_HUB),
            None if enrollment is None else without(enrollment, OF_DPS),
            without(twin["tags"], {"certificate"}),
            without(desired, {"certificate", "$version", "$metadata"}),
            self.group(),
        ]

    def _hub(self, method: str, path: str, body: Json | None = None) -> Answer:
        return self._ask(self.device.hub, entra.IOT_HUB_AUDIENCE, method, f"{path}?{HUB_API}", body)

    def _dps(self, method: str, path: str, body: Json | None = None) -> Answer:
        return self._ask(ports.DPS_HOST, entra.DPS_AUDIENCE, method, f"{path}?{DPS_API}", body)

    def _ask(self, host: str, audience: str, method: str, path: str, body: Json | None) -> Answer:
        token = ManagedIdentity(self.portal.site).get_token(audience).token
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        content = b"" if body is None else json.dumps(body).encode()
        if body is not None:  # the quotes are part of DPS's ETags and not of the hub's
            headers["If-Match"] = '"' + body.get("etag", "*").strip('"') + '"'
        answer = device.call(self.portal.site.tls(), method, f"https://{host}{path}", headers=headers, body=content)
        assert answer.status in {200, 404}, f"{method} {path}: {answer.status} {answer.line()}"
        return answer


def told(held: Json) -> Slots:
    """What DPS tells of the certificates in its two slots."""
    found = (held.get(slot) for slot in ("primary", "secondary"))
    return Slots(*(one["info"]["sha256Thumbprint"].lower() if one else "" for one in found))


def without(document: Json, names: set[str]) -> Json:
    return {name: value for name, value in document.items() if name not in names}
