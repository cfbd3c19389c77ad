"""What the profiles want of the world, as values: links, secrets, enrollment groups. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, assert_never
from urllib.parse import quote

from cryptography import x509

from infra.setup.refused import Refused
from shared.adapters.tls import client_context
from shared.core.chain import issuing
from shared.core.errors import Misconfigured
from shared.core.issuer import newest, thumbprint
from shared.core.profile import (
    CaManagerChain,
    CertificateUpstream,
    EstChain,
    FileChain,
    GroupEnrollment,
    Label,
    PasscodeUpstream,
    Profile,
    Profiles,
    RestUpstream,
    Upstream,
)

type SecretForm = Literal["pair", "key", "certificate"]
type Chain = tuple[x509.Certificate, ...]

HOW_TO: Final[dict[SecretForm, str]] = {
    "pair": '"user:passcode"',
    "key": '"the API key"',
    "certificate": '"""PEM of certificate and key, or base64 of a PFX without password"""',
}


@dataclass(frozen=True, slots=True)
class WantedGroup:
    """An enrollment group: the CAs that issue now for its labels, by thumbprint, and the hubs of its labels."""

    name: str
    authorities: Mapping[str, x509.Certificate]
    hub_hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WantedLink:
    """A hub that DPS may use. `weight` is None where the profiles say nothing about it."""

    name: str
    host: str
    weight: int | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """The custom-allocation webhook; its key stands in the query, as DPS has no other place for it."""

    address: str
    key: str = field(repr=False)

    @property
    def url(self) -> str:
        return f"{self.address}?code={quote(self.key, safe='')}"


def group_labels(profiles: Profiles) -> dict[str, list[Label]]:
    """The labels of each enrollment group."""
    groups: dict[str, list[Label]] = {}
    for label, profile in profiles.by_label.items():
        if isinstance(profile.dps, GroupEnrollment):
            groups.setdefault(profile.dps.group, []).append(label)
    return groups


def groups(
    profiles: Profiles, chains: Mapping[Label, Chain], hub_hosts: Mapping[str, str], now: datetime
) -> tuple[WantedGroup, ...]:
    """Raises Refused where a label has no CA that issues now."""
    wanted = []
    for name, labels in group_labels(profiles).items():
        current = [_issues_now(label, chains[label], now) for label in labels]
        hubs = dict.fromkeys(hub_hosts[hub] for label in labels for hub in profiles.by_label[label].hubs)
        wanted.append(WantedGroup(name, {thumbprint(one): one for one in current}, tuple(hubs)))
    return tuple(wanted)


def _issues_now(label: Label, chain: Chain, now: datetime) -> x509.Certificate:
    found = newest(issuing(chain), now)
    if found is None:
        text = f"no issuing CA of the profile {label} is valid at this time"
        raise Refused(text, "Renew it in DigiCert ONE, and name it in the profile's table [ca] where that lists ids.")
    return found


def roots(chains: Mapping[Label, Chain], labels: Sequence[Label]) -> tuple[x509.Certificate, ...]:
    """The roots of these labels, each once; a chain may have more than one."""
    found = {thumbprint(one): one for label in labels for one in chains[label] if one.issuer == one.subject}
    return tuple(found.values())


def links(profiles: Profiles, hub_hosts: Mapping[str, str]) -> tuple[WantedLink, ...]:
    """The hubs that profiles use. Weights are those of the default profile, if it allocates by weight.

    They matter to enrollments of other owners alone: ours ask the webhook, which knows every label's own weights.
    """
    default = profiles.by_label[profiles.default]
    weights = dict(zip(default.hubs, default.hub_weights, strict=False))
    names = dict.fromkeys(hub for profile in profiles.by_label.values() for hub in profile.hubs)
    return tuple(WantedLink(name, hub_hosts[name], weights.get(name)) for name in names)


def secrets(profiles: Profiles) -> dict[str, SecretForm]:
    """Every secret that a profile names, and the form of its value."""
    named: dict[str, SecretForm] = {}
    for profile in profiles.by_label.values():
        named |= _secrets(profile)
    return named


def _secrets(profile: Profile) -> dict[str, SecretForm]:
    named = _credential(profile.upstream)
    if profile.lookup is not None:
        named |= _credential(profile.lookup)
    match profile.chain:
        case CaManagerChain(api_key_secret=name):
            named[name] = "key"
        case EstChain() | FileChain():
            pass
        case _:
            assert_never(profile.chain)
    if profile.authentication.passcode is not None:
        named[profile.authentication.passcode.secret] = "pair"
    return named


def _credential(upstream: Upstream) -> dict[str, SecretForm]:
    match upstream:
        case PasscodeUpstream(passcode_secret=name):
            return {name: "pair"}
        case CertificateUpstream(client_certificate_secret=name):
            return {name: "certificate"}
        case RestUpstream(api_key_secret="", client_certificate_secret=name):
            return {name: "certificate"}
        case RestUpstream(api_key_secret=name):
            return {name: "key"}
        case _:
            assert_never(upstream)


def value_problem(form: SecretForm, value: str) -> str:
    """Why the value cannot be right; empty when it may be. The value is never quoted."""
    if not value.strip():
        return "is empty"
    match form:
        case "pair":
            return "" if ":" in value and "\n" not in value.strip() else "is not user:passcode (the user may be empty)"
        case "key":
            return "" if len(value.split()) == 1 else "is not one word"
        case "certificate":
            try:
                client_context(value)
            except Misconfigured as error:
                return f"is not good: {error.cause}"
            return ""
        case _:
            assert_never(form)
