"""Which hub a device gets: by the entry's policy, the webhook of `custom` included, and what is written into the hub.

https://learn.microsoft.com/azure/iot-dps/concepts-custom-allocation and .../concepts-device-reprovision
"""

import copy
import hashlib
import ssl
from dataclasses import dataclass
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.dps.document import info
from sandbox.dps.errors import ALLOCATION
from sandbox.dps.state import DpsState, Entry, Registration, thumbprint
from sandbox.iot_hub.state import self_signed

Json = dict[str, Any]


class AllocationFailed(Exception):
    """The registration ends as `failed`, with this number and text."""

    def __init__(self, message: str, code: int = ALLOCATION) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Allocation:
    hub: str
    initial_twin: Json
    payload: object = None


@dataclass(frozen=True)
class Applicant:
    """One registering device: its entry, what is known of it, and what it sent."""

    entry: Entry
    registration: Registration
    leaf: x509.Certificate
    payload: object = None


@dataclass(frozen=True)
class Allocator:
    state: DpsState
    trust: ssl.SSLContext

    async def assign(self, applicant: Applicant) -> Json:
        """Ends the registration: assigned, with the identity in the hub, or failed. Answers its state at that time."""
        registration = applicant.registration
        try:
            allocation = await self.allocate(applicant)
        except AllocationFailed as error:
            # The hub that the device had stays written down: a refusal ends the registration, not the identity.
            registration.status, registration.error = "failed", (error.code, str(error))
            facts = {"device": registration.registration_id, "error": str(error)}
            self.state.world.journal.write("DPS", "registration failed", **facts)
        else:
            settle(self.state, applicant, allocation)
        return self.state.touched(registration)

    async def allocate(self, applicant: Applicant) -> Allocation:
        document = applicant.entry.document
        hubs = list(document.get("iotHubs") or self.state.hubs)
        current = applicant.registration.assigned_hub
        if current is not None and not document["reprovisionPolicy"].get("updateHubAssignment", True):
            hubs = [current]  # "never reprovision": nothing else is on offer
        twin = document.get("initialTwin") or {}
        registration_id = applicant.registration.registration_id.lower()
        match document["allocationPolicy"]:
            case "custom":
                return await self.ask_webhook(applicant, hubs)
            case "hashed":
                number = int.from_bytes(hashlib.sha256(registration_id.encode()).digest()[:8])
                return Allocation(sorted(hubs)[number % len(hubs)], twin)
            case _:  # static, and geoLatency: on loopback all hubs are equally near
                return Allocation(hubs[0], twin)

    async def ask_webhook(self, applicant: Applicant, hubs: list[str]) -> Allocation:
        url = applicant.entry.document["customAllocationDefinition"]["webhookUrl"]
        timeout = aiohttp.ClientTimeout(total=self.state.webhook_timeout)
        connector = aiohttp.TCPConnector(ssl=self.trust)
        journal = self.state.world.journal
        facts = {"device": applicant.registration.registration_id}
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.post(url, json=webhook_body(self.state, applicant, hubs), allow_redirects=False) as response,
            ):
                journal.write("DPS", "webhook answered", status=response.status, **facts)
                if not 200 <= response.status < 300:
                    raise AllocationFailed(f"Custom allocation failed with status code: {response.status}")
                return read_answer(await response.json(content_type=None), hubs)
        except TimeoutError as error:
            journal.write("DPS", "webhook too slow", **facts)
            raise AllocationFailed("Custom allocation failed: the webhook did not answer in time.") from error
        except (aiohttp.ClientError, ValueError) as error:
            journal.write("DPS", "webhook unusable", error=type(error).__name__, **facts)
            raise AllocationFailed("Custom allocation failed: the webhook gave no usable answer.") from error


def webhook_body(state: DpsState, applicant: Applicant, hubs: list[str]) -> Json:
    entry, registration = applicant.entry, applicant.registration
    document = copy.deepcopy(entry.document)
    document["attestation"] = {"type": document["attestation"]["type"]}
    definition = document["customAllocationDefinition"]
    definition["webhookUrl"] = definition["webhookUrl"].partition("?")[0] + "?****"
    context: Json = {"registrationId": registration.registration_id}
    if registration.assigned_hub is not None:
        # They come only when the device registers again: that tells a renewal from a first registration.
        context |= {"currentIotHubHostName": registration.assigned_hub, "currentDeviceId": registration.device_id}
    context["x509"] = guessed_x509(applicant.leaf) if state.reveals_certificate else {}
    if applicant.payload is not None:
        context["payload"] = applicant.payload
    name = "individualEnrollment" if entry.kind == "individual" else "enrollmentGroup"
    return {name: document, "deviceRuntimeContext": context, "linkedHubs": hubs}


def guessed_x509(leaf: x509.Certificate) -> Json:
    """The members of X509DeviceAttestation as the .NET classes suggest them; no sample is known."""
    pem = leaf.public_bytes(Encoding.PEM).decode()
    return {"clientCertificates": {"primary": {"certificate": pem, "info": info(leaf)}}}


def read_answer(answer: object, hubs: list[str]) -> Allocation:
    if not isinstance(answer, dict) or answer.keys() - {"iotHubHostName", "initialTwin", "payload"}:
        raise AllocationFailed("Custom allocation failed: the answer of the webhook is not of the known shape.")
    host, twin = answer.get("iotHubHostName"), answer.get("initialTwin") or {}
    if host not in hubs:
        raise AllocationFailed(f"Custom allocation failed: {host} is not one of the linked hubs.")
    if not isinstance(twin, dict) or twin.keys() - {"tags", "properties"}:
        raise AllocationFailed("Custom allocation failed: initialTwin is not a twin.")
    return Allocation(str(host), twin, answer.get("payload"))


def settle(state: DpsState, applicant: Applicant, allocation: Allocation) -> None:
    """Writes the identity into the hub; a device that changes hubs leaves the old one.

    Linked hubs show `selfSigned` with the leaf's SHA-256 thumbprint, for groups and for individual enrollments alike;
    one report shows the same thumbprint in both slots (Azure/iotedge#2951). No official page says so. It means that
    whatever stood in a slot before, an older certificate's thumbprint too, is gone after a registration.
    """
    registration, document = applicant.registration, applicant.entry.document
    before, twin, substatus = registration.assigned_hub, allocation.initial_twin, registration.substatus
    if before is None or substatus is None:
        substatus = "initialAssignment"
    if before is not None and before != allocation.hub:
        left = state.hubs.get(before)  # None for a hub that is linked no more
        leaving = None if left is None else left.devices.get(registration.device_id)
        migrates = document["reprovisionPolicy"].get("migrateDeviceData", True)
        substatus = "deviceDataMigrated" if migrates else "deviceDataReset"
        if left is not None and leaving is not None:
            if migrates:
                twin = {"tags": leaving.tags, "properties": {"desired": leaving.desired.content}}
            left.delete(leaving)
    own = thumbprint(applicant.leaf)
    hub = state.hubs[allocation.hub]
    hub.provision(registration.device_id, self_signed(own, own), document["capabilities"], twin)
    registration.assigned_hub, registration.status, registration.substatus = allocation.hub, "assigned", substatus
    registration.error, registration.payload = None, allocation.payload
    facts = {"device": registration.device_id, "hub": hub.name, "thumbprint": own}
    state.world.journal.write("DPS", "device assigned", **facts)
