"""What a label stands for: one profile, read from `profiles.toml` by `shared/profiles.py`, as values alone."""

from dataclasses import dataclass
from typing import Literal

from cryptography import x509

from shared.core.client_certificate import Trust

type Label = str


@dataclass(frozen=True, slots=True)
class PasscodeUpstream:
    """DigiCert ONE over EST with an enrollment passcode by HTTP Basic: Key Vault holds `user:passcode`."""

    url: str
    passcode_secret: str


@dataclass(frozen=True, slots=True)
class CertificateUpstream:
    """DigiCert ONE over EST on its clientauth host: Key Vault holds a client certificate and its key."""

    url: str
    client_certificate_secret: str


@dataclass(frozen=True, slots=True)
class RestUpstream:
    """IoT Trust Manager over REST, with exactly one of the two credentials."""

    url: str
    enrollment_profile_id: str
    api_key_secret: str = ""
    client_certificate_secret: str = ""


type Upstream = PasscodeUpstream | CertificateUpstream | RestUpstream


@dataclass(frozen=True, slots=True)
class EstChain:
    """The CA chain comes from the EST upstream's cacerts."""


@dataclass(frozen=True, slots=True)
class CaManagerChain:
    """The CA chain comes from CA Manager (Private CA), by the ids of root and issuing CAs."""

    url: str
    ca_ids: tuple[str, ...]
    api_key_secret: str


@dataclass(frozen=True, slots=True)
class FileChain:
    """The CA chain stands in a PEM file beside the profiles."""

    certificates: tuple[x509.Certificate, ...]


type ChainSource = EstChain | CaManagerChain | FileChain


@dataclass(frozen=True, slots=True)
class FactoryCertificates:
    """Factory certificates are accepted for a first enrollment; `device_id` says where they name the device."""

    trust: Trust
    device_id: str


@dataclass(frozen=True, slots=True)
class Passcode:
    """`user:password` by HTTP Basic, from one Key Vault secret for the whole label.

    `existing_devices = "refuse"` lets it enroll only devices that the ledger does not know yet: whoever learns the
    password can then not take over a device. Devices that renew by passcode need `accept`.
    """

    secret: str
    existing_devices: Literal["accept", "refuse"]


@dataclass(frozen=True, slots=True)
class Authentication:
    """`one_time_passcodes` lets devices in for which an operator has made one."""

    issued_certificate: bool
    factory: FactoryCertificates | None
    passcode: Passcode | None
    one_time_passcodes: bool = False


@dataclass(frozen=True, slots=True)
class RequestRules:
    """What a signing request may hold. The first of `keys` is what `csrattrs` asks for."""

    keys: tuple[str, ...]
    hashes: tuple[str, ...]
    subject: frozenset[str]
    san: frozenset[str]
    ignores_challenge_password: bool


@dataclass(frozen=True, slots=True)
class GroupEnrollment:
    """Devices register with DPS through an enrollment group that trusts the issuing CA."""

    group: str


@dataclass(frozen=True, slots=True)
class IndividualEnrollment:
    """Each device has a DPS individual enrollment, which Birthcert writes."""


@dataclass(frozen=True, slots=True)
class RenewalRules:
    """How devices are brought to renew, and what becomes of the old certificate.

    `direct_method` is the name of the method to call, empty for the desired property alone. `grace_hours`: how long
    the old certificate stays without proof that the new one is in use. `accept_expired_days`: how long after its end
    an issued certificate still renews itself at simplereenroll; 0 never.
    """

    direct_method: str = ""
    grace_hours: int = 24
    accept_expired_days: int = 0
    nudge_every_hours: int = 24


@dataclass(frozen=True, slots=True)
class Profile:
    """One label. `renewal_point` is a share of the lifetime; `daily_limit` counts certificates per device and day.

    `hub_weights` belong to `hubs` one by one (weighted allocation; empty otherwise). `maximum_age_days` is the age
    beyond which a certificate does not register any more, 0 for no such rule. `deleted_devices` says what the deletion
    of a hub identity means. `crl_urls` are the CRLs of the label's issuing CAs; no other address is ever asked.
    """

    label: Label
    upstream: Upstream
    lookup: RestUpstream | None
    chain: ChainSource
    authentication: Authentication
    request: RequestRules
    dps: GroupEnrollment | IndividualEnrollment
    hubs: tuple[str, ...]
    allocation: Literal["hashed", "weighted", "static", "stay"]
    renewal_point: float
    daily_limit: int
    unknown_devices: Literal["accept", "manifest"]
    base64_lines: bool
    hub_weights: tuple[int, ...] = ()
    maximum_age_days: int = 0
    renewal: RenewalRules = RenewalRules()
    deleted_devices: Literal["revoke", "ignore"] = "ignore"
    crl_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Profiles:
    """All labels. The label-less URL uses `default` (RFC 7030 §3.2.2 wants a default CA)."""

    default: Label
    by_label: dict[Label, Profile]
