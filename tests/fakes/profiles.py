"""The profile that fakes live by, and what goes with it."""

from collections.abc import Mapping

from sandbox import pki
from shared.core.client_certificate import trust
from shared.core.profile import (
    Authentication,
    EstChain,
    FactoryCertificates,
    GroupEnrollment,
    Passcode,
    PasscodeUpstream,
    Profile,
    RenewalRules,
    RequestRules,
    RestUpstream,
)
from tests.fakes.clock import START
from tests.fakes.digicert import DAY

HUB_HOSTS: Mapping[str, str] = {"hub-a": "hub-a.azure-devices.net", "hub-b": "hub-b.azure-devices.net"}
PASSCODE = "device:correct horse"
LOOK_UP = RestUpstream("https://one.digicert.com", "IOT_1", api_key_secret="digicert-api-key")
FACTORY = pki.factory_authority(START - 400 * DAY)

PROFILE = Profile(
    label="devices",
    upstream=PasscodeUpstream("https://one.digicert.com/.well-known/est/IOT_1", "digicert-est-passcode"),
    lookup=LOOK_UP,
    chain=EstChain(),
    authentication=Authentication(
        issued_certificate=True,
        factory=FactoryCertificates(trust((FACTORY.certificate,)), "subject.common_name"),
        passcode=Passcode("est-passcode", "accept"),
    ),
    request=RequestRules(
        keys=("ec-p256", "rsa-2048"),
        hashes=("sha256",),
        subject=frozenset({"common_name"}),
        san=frozenset({"device_id"}),
        ignores_challenge_password=False,
    ),
    dps=GroupEnrollment("birthcert"),
    hubs=("hub-a", "hub-b"),
    allocation="hashed",
    hub_weights=(),
    maximum_age_days=0,
    renewal=RenewalRules(direct_method="", grace_hours=24, accept_expired_days=0, nudge_every_hours=24),
    deleted_devices="ignore",
    renewal_point=0.8,
    daily_limit=5,
    unknown_devices="accept",
    base64_lines=True,
)
