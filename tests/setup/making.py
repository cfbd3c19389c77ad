"""What the tests of setup decide upon: authorities, and groups as DPS shows them after a write."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509

from infra.setup.wanted import WantedGroup, Webhook
from sandbox import pki
from shared.core.issuer import thumbprint
from shared.core.rotation import Slots
from shared.flows.ports.dps import Group

type Json = dict[str, Any]

NOW: Final = datetime.now(UTC)
HIERARCHY: Final = pki.issuing_hierarchy(NOW)
ROOT: Final = HIERARCHY.root.certificate
ICA: Final = HIERARCHY.ica.certificate
NEXT: Final = pki.issuing_ca(HIERARCHY.root, "Next", NOW + timedelta(seconds=1)).certificate
OTHER: Final = pki.issuing_ca(HIERARCHY.root, "Other", NOW).certificate
WEBHOOK: Final = Webhook("https://app.azurewebsites.net/api/allocation", "the/key==")
HUB: Final = "hub-a.azure-devices.net"
DPS: Final = "contoso-dps"


def wants(*authorities: x509.Certificate, hubs: tuple[str, ...] = (HUB,)) -> WantedGroup:
    return WantedGroup("birthcert", {thumbprint(one): one for one in authorities}, hubs)


def stored(body: Mapping[str, object]) -> Group:
    """As DPS answers after it has taken the body: certificates become what is told about them, a tag is added."""
    document: Json = {**body, "etag": '"1"', "createdDateTimeUtc": "2026-01-01T00:00:00Z"}
    given: Json = document["attestation"].get("x509") or {}
    slots = {slot: _told(held) for slot, held in (given.get("signingCertificates") or {}).items() if held}
    if slots:
        document["attestation"] = {"type": "x509", "x509": {"signingCertificates": slots}}
    held = {slot: one["info"]["sha256Thumbprint"].lower() for slot, one in slots.items()}
    return Group(Slots(held.get("primary", ""), held.get("secondary", "")), "caReferences" in given, document)


def _told(slot: Json) -> Json:
    if "certificate" not in slot:
        return slot
    certificate = x509.load_pem_x509_certificate(slot["certificate"].encode())
    return {"info": {"sha256Thumbprint": thumbprint(certificate).upper()}}
