"""Which hub a device belongs to, and whether it is let in at all, when DPS asks (custom allocation)."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, assert_never

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core.errors import Forbidden, Malformed
from shared.core.fleet import Block, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId, device_id, registration_key
from shared.core.profile import Profile

# A queue message holds 64 KB, and the certificate stands in it in base64 twice. DigiCert ONE has a larger one as well.
_MOST_DER: Final = 16 * 1024

# Where a presented certificate that the ledger does not know is looked up: empty when there is none, "Queued", or
# nowhere yet, because the queue did not take it.
type Adoption = Literal["", "Queued", "NotQueued"]


@dataclass(frozen=True, slots=True)
class Registration:
    """What DPS says when it asks for a hub. Hubs are host names.

    `current_hub` comes only when the device registers again: it tells that from a first provisioning. `thumbprint` is
    the presented certificate's SHA-256, empty when DPS does not show it; `certificate` its DER, empty when DPS shows no
    more than the thumbprint.
    """

    device_id: DeviceId
    enrollment_group: str
    linked_hubs: tuple[str, ...]
    thumbprint: str = ""
    current_hub: str = ""
    certificate: bytes = b""


@dataclass(frozen=True, slots=True)
class Allocation:
    """The answer to DPS. `initial_twin` acts on a new identity only. `cause` says why a queue failed, for the log."""

    hub_host: str
    initial_twin: Mapping[str, object] = field(default_factory=dict)
    reprovisioned: bool = False
    adoption: Adoption = ""
    cause: str = ""


def parse_registration(body: bytes) -> Registration:
    """The webhook's request. Raises Malformed."""
    try:
        document = json.loads(body)
        context = document["deviceRuntimeContext"]
        # Microsoft's page spells currentIotHubHostName in two ways, so keys are read without regard to case.
        spelled = {key.lower(): value for key, value in context.items()}
        thumbprint, certificate = _presented(context.get("x509"))
        return Registration(
            device_id=device_id(context["registrationId"]),
            enrollment_group=str((document.get("enrollmentGroup") or {}).get("enrollmentGroupId") or ""),
            linked_hubs=_host_names(document["linkedHubs"]),
            thumbprint=thumbprint,
            current_hub=str(spelled.get("currentiothubhostname") or ""),
            certificate=certificate,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Malformed("this is no allocation request of DPS", cause=repr(error)) from error


def _host_names(hubs: object) -> tuple[str, ...]:
    if not isinstance(hubs, list) or not all(isinstance(hub, str) for hub in hubs):
        raise TypeError("linkedHubs is no list of host names")
    return tuple(hubs)


def _presented(device: object) -> tuple[str, bytes]:
    """The presented certificate's SHA-256 thumbprint, lower case, and its DER; empty where they are not told.

    Microsoft documents the field but not its members: the shape of its .NET type is tried, all else is "not told".
    """
    thumbprint, der = "", b""
    match device:
        case {"clientCertificates": {"primary": {"info": {"sha256Thumbprint": str(told)}}}}:
            thumbprint = told.lower()
    match device:
        case {"clientCertificates": {"primary": {"certificate": str(pem)}}}:
            der = _der(pem)
    found = hashlib.sha256(der).hexdigest() if der else thumbprint
    if thumbprint not in ("", found) or len(der) > _MOST_DER:
        der = b""
    return thumbprint or found, der


def _der(pem: str) -> bytes:
    try:
        return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    except (ValueError, x509.InvalidVersion):  # the latter is no ValueError
        return b""


def choose(profile: Profile, device: DeviceId, hubs: Mapping[str, str], current: str) -> str:
    """The device's hub among `hubs`, which are host names by hub name, in the profile's order, and not empty.

    `current` is the host name of the hub that the device is in, or empty.
    """
    hosts = list(hubs.values())
    match profile.allocation:
        case "static":
            return hosts[0]
        case "stay":
            staying = (host for host in hosts if host.lower() == current.lower())
            return next(staying, None) or choose_hub(device, dict.fromkeys(hosts, 1))
        case "weighted":
            weights = dict(zip(profile.hubs, profile.hub_weights, strict=True))
            return choose_hub(device, {host: weights[name] for name, host in hubs.items()})
        case "hashed":
            return choose_hub(device, dict.fromkeys(hosts, 1))
        case _:
            assert_never(profile.allocation)


def choose_hub(device: DeviceId, weights: Mapping[str, int]) -> str:
    """The device's hub by weighted rendezvous hashing: stable, and each hub's share of devices follows its weight.

    A change of hubs or weights moves as few devices as can be. Their order does not matter; a hub of weight 0 gets no
    device while another is there.
    """
    key = registration_key(device)

    def score(hub: str) -> tuple[float, str]:
        digest = hashlib.sha256(f"{hub}|{key}".encode()).digest()
        drawn = (int.from_bytes(digest[:6]) + 0.5) / 2**48  # evenly between 0 and 1, both excluded
        return -weights[hub] / math.log(drawn), hub

    return max(weights, key=score)


def check_admitted(known: Snapshot, profile: Profile, thumbprint: str, now: datetime) -> None:
    """Raises Forbidden, with a reason that DPS shows, for a device that is not let in.

    `thumbprint` is empty when DPS did not say which certificate the device presented; then one that is good is enough.
    An ECDSA signature can be written in two ways, so a revoked certificate can be made to have a thumbprint that nobody
    knows: a device that has a revoked certificate is let in with one that is known, and with no other.
    """
    device = known.device
    if device is None and profile.unknown_devices == "manifest":
        raise Forbidden("the device is not on the manifest of its label")
    if device is not None and device.block is not Block.NONE:
        raise Forbidden("the device is blocked")
    presented = known.by_thumbprint(thumbprint) if thumbprint else None
    if thumbprint and presented is None and any(one.status == "revoked" for one in known.certificates):
        raise Forbidden("the certificate of the device has been revoked")
    candidates = [presented] if presented else [] if thumbprint else list(known.certificates)
    problems = [_problem(one, profile, now) for one in candidates]
    if problems and all(problems):
        raise Forbidden(problems[-1])


def _problem(held: LedgerCertificate, profile: Profile, now: datetime) -> str:
    """Why a device with this certificate is not let in; an empty string when it is."""
    if held.status == "revoked":
        return "the certificate of the device has been revoked"
    if now > held.certificate.not_after:
        return "the certificate of the device has expired"
    if profile.maximum_age_days and now - held.certificate.not_before > timedelta(days=profile.maximum_age_days):
        return f"the certificate of the device is older than {profile.maximum_age_days} days; renew it first"
    return ""


def initial_twin(known: Snapshot, thumbprint: str) -> dict[str, Any]:
    """The twin of a new identity: tags of the presented certificate or, where DPS does not show it, the newest one."""
    presented = known.by_thumbprint(thumbprint) if thumbprint else None
    used = presented or (known.certificate(known.device.latest) if known.device and not thumbprint else None)
    return {"tags": {"certificate": tags(used)}} if used else {}


def tags(used: LedgerCertificate) -> dict[str, str]:
    """What the twin's tag `certificate` says, for device queries in the portal."""
    return {
        "serial": used.certificate.serial,
        "thumbprint": used.certificate.thumbprint,
        "notAfter": used.certificate.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "profile": used.label,
    }
