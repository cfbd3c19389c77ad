"""`profiles.toml` read whole: every problem is reported by its path, and only a file without problems is used."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal, cast

from cryptography import x509

from shared.core import keys, names
from shared.core.chain import check_chain
from shared.core.client_certificate import DEVICE_ID_SOURCES, trust
from shared.core.errors import Misconfigured, UpstreamRefused
from shared.core.est import is_label
from shared.core.profile import (
    Authentication,
    CaManagerChain,
    CertificateUpstream,
    ChainSource,
    EstChain,
    FactoryCertificates,
    FileChain,
    GroupEnrollment,
    IndividualEnrollment,
    Passcode,
    PasscodeUpstream,
    Profile,
    Profiles,
    RenewalRules,
    RequestRules,
    RestUpstream,
    Upstream,
)
from shared.toml_table import Table

_HASHES: Final = ("sha256", "sha384", "sha512")
_ALLOCATIONS: Final = ("hashed", "weighted", "static", "stay")
_DIGICERT: Final = re.compile(r"https://(?P<clientauth>clientauth\.)?[a-z0-9.-]*one\.([a-z.]*)?digicert\.[a-z.]+(/.*)?")


def load(path: Path, hubs: Mapping[str, str]) -> Profiles:
    """The profiles in the file; `hubs` are the names that profiles may use. Raises Misconfigured with all problems."""
    problems: list[str] = []
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Misconfigured("the service is not set up correctly", cause=f"{path}: {error}") from error
    top = Table("", content, problems)
    default = top.take("default_profile", str)
    labels = top.table("profiles")
    by_label = {label: _profile(label, labels.table(label), path.parent, hubs) for label in sorted(labels.content)}
    if default and default not in by_label:
        top.problem("default_profile", f"there is no profile {default!r}")
    top.close()
    if problems:
        raise Misconfigured(
            "the service is not set up correctly", cause="\n".join(f"{path}: {one}" for one in problems)
        )
    return Profiles(default, by_label)


def _profile(label: str, table: Table, directory: Path, hubs: Mapping[str, str]) -> Profile:
    if not is_label(label):
        table.problems.append(f"{table.path}: {label!r} cannot be a label (RFC 7030 section 3.2.2)")
    upstream, lookup = _upstream(table.table("upstream"))
    profile = Profile(
        label=label,
        upstream=upstream,
        lookup=lookup,
        chain=_chain(table.table("ca"), upstream, directory),
        authentication=_authentication(table.table("authentication"), directory),
        request=_request(table.table("request")),
        dps=_dps(table.table("dps")),
        hubs=table.strings("hubs", tuple(hubs)),
        allocation=cast(
            "Literal['hashed', 'weighted', 'static', 'stay']", table.choice("allocation", _ALLOCATIONS, "hashed")
        ),
        hub_weights=_weights(table),
        maximum_age_days=table.number("maximum_age_days", 0),
        renewal=_renewal(table.table("renewal", {})),
        deleted_devices=cast(
            "Literal['revoke', 'ignore']", table.choice("deleted_devices", ["revoke", "ignore"], "ignore")
        ),
        renewal_point=table.take("renewal_point", float, 0.8),
        daily_limit=table.number("daily_limit", 10, least=1),
        unknown_devices=cast(
            "Literal['accept', 'manifest']", table.choice("unknown_devices", ["accept", "manifest"], "accept")
        ),
        base64_lines=table.take("base64_lines", bool, otherwise=True),
        crl_urls=_crl_urls(table.table("revocation", {})),
    )
    if not profile.hubs:
        table.problem("hubs", "must name at least one hub of IOT_HUBS")
    if len(profile.hub_weights) != (len(profile.hubs) if profile.allocation == "weighted" else 0):
        table.problem(
            "hub_weights", 'must hold one weight for each hub with allocation = "weighted", and none otherwise'
        )
    if not 0.1 <= profile.renewal_point <= 0.95:
        table.problem("renewal_point", "must be between 0.1 and 0.95 of the lifetime")
    table.close()
    return profile


def _crl_urls(table: Table) -> tuple[str, ...]:
    """CRLs are signed, and CAs publish them over plain HTTP (RFC 5280 §8)."""
    urls = table.strings("crl_urls", otherwise=[])
    for url in urls:
        if not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", url):
            table.problem("crl_urls", f"{url!r} is no http:// or https:// address without query")
    table.close()
    return urls


def _upstream(table: Table) -> tuple[Upstream, RestUpstream | None]:
    lookup = table.optional_table("lookup")
    look_up = _rest(lookup) if lookup else None
    if lookup:
        lookup.close()
    made: Upstream
    if table.choice("protocol", ["est", "rest"]) == "rest":
        made = _rest(table)
    elif "client_certificate_secret" in table.content:
        url = table.url("url")
        made = CertificateUpstream(url, table.secret("client_certificate_secret"))
        _check_host(table, url, clientauth=True)
    else:
        url = table.url("url")
        made = PasscodeUpstream(url, table.secret("passcode_secret"))
        _check_host(table, url, clientauth=False)
    table.close()
    return made, look_up


def _rest(table: Table) -> RestUpstream:
    url = table.url("url")
    profile_id = table.take("enrollment_profile_id", str)
    certified = "client_certificate_secret" in table.content
    _check_host(table, url, clientauth=certified)
    if certified:
        return RestUpstream(url, profile_id, client_certificate_secret=table.secret("client_certificate_secret"))
    return RestUpstream(url, profile_id, api_key_secret=table.secret("api_key_secret"))


def _check_host(table: Table, url: str, *, clientauth: bool) -> None:
    """DigiCert ONE takes client certificates on its clientauth host alone, and passcodes and keys on the other."""
    found = _DIGICERT.fullmatch(url)
    if found and bool(found["clientauth"]) != clientauth:
        table.problem("url", "a client certificate, and nothing else, goes with the host that begins with clientauth.")


def _chain(table: Table, upstream: Upstream, directory: Path) -> ChainSource:
    made: ChainSource
    source = table.choice("source", ["est", "ca_manager", "file"])
    match source:
        case "ca_manager":
            made = CaManagerChain(table.url("url"), table.strings("ca_ids"), table.secret("api_key_secret"))
        case "file":
            made = FileChain(_file_chain(table, directory))
        case _:
            made = EstChain()
            if isinstance(upstream, RestUpstream) and source == "est":
                table.problem("source", "a REST upstream has no cacerts: use ca_manager or file")
    table.close()
    return made


def _file_chain(table: Table, directory: Path) -> tuple[x509.Certificate, ...]:
    certificates = _certificates(table, "path", [table.take("path", str)], directory)
    try:
        return check_chain(certificates)
    except UpstreamRefused as error:
        table.problem("path", f"is no chain of CA certificates: {error.public}")
        return ()


def _authentication(table: Table, directory: Path) -> Authentication:
    factory = table.optional_table("factory_certificate")
    passcode = table.optional_table("passcode")
    made = Authentication(
        issued_certificate=table.take("issued_certificate", bool, otherwise=True),
        factory=_factory(factory, directory) if factory else None,
        passcode=_passcode(passcode) if passcode else None,
        one_time_passcodes=table.take("one_time_passcodes", bool, otherwise=False),
    )
    if made.factory is None and made.passcode is None and not made.one_time_passcodes:
        text = "needs factory_certificate, passcode or one_time_passcodes, or no device can be born"
        table.problems.append(f"{table.path}: {text}")
    table.close()
    return made


def _factory(table: Table, directory: Path) -> FactoryCertificates:
    anchors = _certificates(table, "anchors", table.strings("anchors"), directory)
    if not anchors:
        table.problem("anchors", "must name at least one PEM file with a certificate")
    made = FactoryCertificates(trust(anchors), table.choice("device_id", DEVICE_ID_SOURCES, "subject.common_name"))
    table.close()
    return made


def _passcode(table: Table) -> Passcode:
    existing = table.choice("existing_devices", ["accept", "refuse"], "refuse")
    made = Passcode(table.secret("secret"), cast("Literal['accept', 'refuse']", existing))
    table.close()
    return made


def _request(table: Table) -> RequestRules:
    made = RequestRules(
        keys=table.strings("keys", keys.KNOWN),
        hashes=table.strings("hashes", _HASHES, list(_HASHES)),
        subject=frozenset(table.strings("subject", tuple(names.SUBJECT_ATTRIBUTES.values()), ["common_name"])),
        san=frozenset(table.strings("san", ["device_id"], [])),
        ignores_challenge_password=table.choice("challenge_password", ["reject", "ignore"], "reject") == "ignore",
    )
    if not made.keys:
        table.problem("keys", "must hold at least one kind of key")
    if not made.hashes:
        table.problem("hashes", "must hold at least one hash")
    if "common_name" not in made.subject:
        table.problem("subject", "must allow common_name: it is the device id")
    table.close()
    return made


def _dps(table: Table) -> GroupEnrollment | IndividualEnrollment:
    made: GroupEnrollment | IndividualEnrollment = IndividualEnrollment()
    if table.choice("mode", ["group", "individual"]) == "group":
        made = GroupEnrollment(table.take("group", str))
    table.close()
    return made


def _weights(table: Table) -> tuple[int, ...]:
    weights = table.take("hub_weights", list, [])
    if weights and (any(type(one) is not int or one < 0 for one in weights) or not sum(weights)):
        table.problem("hub_weights", "must be whole numbers from 0 up, and not all of them 0")
        return (1,) * len(weights)
    return tuple(weights)


def _renewal(table: Table) -> RenewalRules:
    made = RenewalRules(
        direct_method=table.take("direct_method", str, ""),
        grace_hours=table.number("grace_hours", 24),
        accept_expired_days=table.number("accept_expired_days", 0),
        nudge_every_hours=table.number("nudge_every_hours", 24, least=1),
    )
    table.close()
    return made


def _certificates(table: Table, key: str, files: Iterable[str], directory: Path) -> tuple[x509.Certificate, ...]:
    found: list[x509.Certificate] = []
    for name in files:
        try:
            found += x509.load_pem_x509_certificates((directory / name).read_bytes())
        except (OSError, ValueError) as error:
            table.problem(key, f"{name}: {error}")
    return tuple(found)
