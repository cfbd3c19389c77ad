"""Which IoT Hub a device belongs to, when DPS asks (custom allocation)."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from shared.core.errors import Forbidden, Malformed
from shared.core.fleet import Block, Snapshot
from shared.core.identity import DeviceId, device_id, registration_key


@dataclass(frozen=True, slots=True)
class Registration:
    """What DPS says when it asks for a hub. Hubs are host names; `thumbprint` is empty when DPS does not show it."""

    device_id: DeviceId
    enrollment_group: str
    linked_hubs: tuple[str, ...]
    thumbprint: str = ""


def parse_registration(body: bytes) -> Registration:
    """The webhook's request. Raises Malformed."""
    try:
        document = json.loads(body)
        context = document["deviceRuntimeContext"]
        return Registration(
            device_id=device_id(context["registrationId"]),
            enrollment_group=str((document.get("enrollmentGroup") or {}).get("enrollmentGroupId") or ""),
            linked_hubs=_host_names(document["linkedHubs"]),
            thumbprint=_thumbprint(context.get("x509")),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Malformed("this is no allocation request of DPS", cause=repr(error)) from error


def _host_names(hubs: object) -> tuple[str, ...]:
    if not isinstance(hubs, list) or not all(isinstance(hub, str) for hub in hubs):
        raise TypeError("linkedHubs is no list of host names")
    return tuple(hubs)


def _thumbprint(device: object) -> str:
    """The presented certificate's SHA-256 thumbprint, lower case, or an empty string.

    Microsoft documents the field but not its members: the shape of its .NET type is tried, all else is "not told".
    """
    match device:
        case {"clientCertificates": {"primary": {"info": {"sha256Thumbprint": str(thumbprint)}}}}:
            return thumbprint.lower()
        case {"clientCertificates": {"primary": {"certificate": str(pem)}}}:
            try:
                return x509.load_pem_x509_certificate(pem.encode()).fingerprint(SHA256()).hex()
            except (ValueError, x509.InvalidVersion):  # the latter is no ValueError
                return ""
        case _:
            return ""


def choose_hub(device: DeviceId, hubs: Sequence[str]) -> str:
    """The device's hub by rendezvous hashing: stable, even, and a change of hubs moves as few devices as can be.

    `hubs` is not empty; its order does not matter.
    """
    key = registration_key(device)
    return max(hubs, key=lambda hub: (hashlib.sha256(f"{hub}|{key}".encode()).digest(), hub))


def check_admitted(known: Snapshot, thumbprint: str) -> None:
    """Raises Forbidden for a device that is blocked, or whose presented certificate is revoked.

    `thumbprint` is empty when DPS did not say which certificate the device presented. An ECDSA signature can be
    written in two ways, so a revoked certificate can be made to have a thumbprint that nobody knows: a device that
    has a revoked certificate is let in with one that is known to be good, and with no other.
    """
    if known.device is not None and known.device.block is not Block.NONE:
        raise Forbidden("the device is blocked")
    if not thumbprint or all(one.status == "issued" for one in known.certificates):
        return
    presented = known.by_thumbprint(thumbprint)
    if presented is None or presented.status == "revoked":
        raise Forbidden("the certificate of the device has been revoked")
