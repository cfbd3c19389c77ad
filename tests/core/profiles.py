"""Profiles and ledger readings for the tests of policy."""

from dataclasses import replace
from datetime import datetime
from typing import Literal

from cryptography import x509

from shared.core.certificate import certificate
from shared.core.fleet import Block, Claim, Device, LedgerCertificate, Snapshot
from shared.core.identity import device_id
from shared.core.profile import (
    Authentication,
    EstChain,
    GroupEnrollment,
    Passcode,
    PasscodeUpstream,
    Profile,
    RenewalRules,
    RequestRules,
)
from tests.core.making import DEVICE, NOW

RULES = RequestRules(
    keys=("ec-p256", "rsa-2048"),
    hashes=("sha256",),
    subject=frozenset({"common_name"}),
    san=frozenset(),
    ignores_challenge_password=False,
)

PROFILE = Profile(
    label="devices",
    upstream=PasscodeUpstream("https://one.example", "secret"),
    lookup=None,
    chain=EstChain(),
    authentication=Authentication(issued_certificate=True, factory=None, passcode=Passcode("secret", "refuse")),
    request=RULES,
    dps=GroupEnrollment("group"),
    hubs=("hub-1",),
    allocation="hashed",
    hub_weights=(),
    maximum_age_days=0,
    renewal=RenewalRules(direct_method="", grace_hours=24, accept_expired_days=0, nudge_every_hours=24),
    deleted_devices="ignore",
    renewal_point=0.8,
    daily_limit=10,
    unknown_devices="accept",
    base64_lines=True,
)


def with_passcode(existing_devices: Literal["accept", "refuse"] | None) -> Profile:
    passcode = Passcode("secret", existing_devices) if existing_devices else None
    return replace(PROFILE, authentication=replace(PROFILE.authentication, passcode=passcode))


def ledger_certificate(
    leaf: x509.Certificate, status: Literal["issued", "superseded", "revoked"] = "issued", digicert_id: str = "id"
) -> LedgerCertificate:
    return LedgerCertificate(certificate(leaf), "devices", "est", digicert_id, status)


def device(name: str = DEVICE, *, label: str = "devices", block: Block = Block.NONE, latest: str = "") -> Device:
    return Device(device_id(name), label, created=NOW, block=block, latest=latest)


def snapshot(known: Device | None, *certificates: LedgerCertificate, claim: str | None = None) -> Snapshot:
    """A reading; `claim` is the serial that the claim of this request has led to, empty while it has led to none."""
    made: Claim | None = None
    if claim is not None:
        made = Claim("key", "issued" if claim else "open", _LEASE, claim)
    return Snapshot(known, made, certificates)


_LEASE: datetime = NOW
