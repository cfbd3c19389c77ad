"""What setup decides about an enrollment group: it trusts the CAs that issue now and asks the app for hubs. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.serialization import Encoding

from infra.setup.refused import Refused
from infra.setup.wanted import WantedGroup, Webhook
from shared.adapters.dps import READ_ONLY
from shared.core.issuer import roll
from shared.core.rotation import Slots
from shared.flows.ports.dps import Group

WEBHOOK_VERSION: Final = "2021-10-01"
MASK: Final = "****"  # as DPS shows the key to the webhook itself; whether to others too is not documented

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GroupChange:
    """What the group is to be, whole, as the service API takes it; and what that changes, in words."""

    body: Mapping[str, object] = field(repr=False)
    changes: tuple[str, ...]


def group(found: Group | None, wanted: WantedGroup, webhook: Webhook, dps: str) -> GroupChange | None:
    """None when the group is already as it has to be. `dps` is the name of the DPS, for what an operator may do."""
    document = _created(wanted.name) if found is None else dict(found.document)
    changes: tuple[str, ...] = () if found is not None else ("create it",)
    changes += _trust(document, found, wanted, dps) + _allocation(document, webhook) + _hubs(document, wanted.hub_hosts)
    body = {key: value for key, value in document.items() if key not in READ_ONLY}
    return GroupChange(body, changes) if changes else None


def _created(name: str) -> Json:
    return {
        "enrollmentGroupId": name,
        "attestation": {"type": "x509", "x509": {"signingCertificates": {}}},
        "provisioningStatus": "enabled",
        "reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": True},
    }


def _trust(document: Json, found: Group | None, wanted: WantedGroup, dps: str) -> tuple[str, ...]:
    """CAs are added only: which one leaves, and when, is for trust reconcile, which knows the living certificates."""
    if found is not None and found.by_reference:
        return ()  # it trusts all that is below the CA certificates that it names
    if document["attestation"]["type"] != "x509":
        text = f"the enrollment group {wanted.name} is there and does not attest by X.509"
        raise Refused(text, "Name another group in the profile's table [dps], or delete that one.")
    attestation = document["attestation"].get("x509") or {}
    slots = {slot: held for slot, held in (attestation.get("signingCertificates") or {}).items() if held is not None}
    change = roll(found.slots if found else Slots(), tuple(wanted.authorities), ())
    if change.homeless:
        raise Refused(
            f"the enrollment group {wanted.name} has two slots for issuing CAs, and needs more",
            "An old CA leaves by itself, within the hour, once its last certificate has ended. Where none is that old: "
            "give each label a group of its own, or let the group name the root: az iot dps enrollment-group update "
            f"--dps-name {dps} --enrollment-id {wanted.name} --ca-name NAME-OF-THE-ROOT-IN-DPS.",
        )
    for slot, one in change.change.items():
        pem = wanted.authorities[one].public_bytes(Encoding.PEM).decode()
        slots[slot] = {"certificate": pem}
    document["attestation"] = {"type": "x509", "x509": {"signingCertificates": slots}}
    return tuple(
        f"{slot} issuing CA {wanted.authorities[one].subject.rfc4514_string()}" for slot, one in change.change.items()
    )


def _allocation(document: Json, webhook: Webhook) -> tuple[str, ...]:
    """Whatever else is written, the webhook goes with its key: a masked one must not come back."""
    there = document.get("customAllocationDefinition") or {}
    address, _, query = str(there.get("webhookUrl") or "").partition("?")
    asks = document.get("allocationPolicy") == "custom" and address == webhook.address
    opens = MASK in query or parse_qs(query).get("code") == [webhook.key]
    version = there.get("apiVersion") or WEBHOOK_VERSION
    document["allocationPolicy"] = "custom"
    document["customAllocationDefinition"] = {"webhookUrl": webhook.url, "apiVersion": version}
    if not asks:
        return (f"allocation by {webhook.address}",)
    return () if opens else ("the key of the webhook",)


def _hubs(document: Json, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """A group without a list may use every linked hub, and then the webhook alone decides."""
    listed = list(document.get("iotHubs") or [])
    missing = [host for host in wanted if host.lower() not in {one.lower() for one in listed}]
    if not listed or not missing:
        return ()
    document["iotHubs"] = [*listed, *missing]
    return tuple(f"hub {host}" for host in missing)
