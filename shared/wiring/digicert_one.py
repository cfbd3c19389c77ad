"""Which connections to DigiCert ONE the profiles ask for: one circuit breaker per host, one session per credential."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import assert_never

import httpx
from cryptography import x509

from shared.adapters import digicert
from shared.adapters.ca_manager import CaManagerChainSource
from shared.adapters.digicert_est import EstChainSource, EstUpstream
from shared.adapters.digicert_rest import Certificates
from shared.adapters.digicert_rest import RestUpstream as RestAdapter
from shared.adapters.digicert_revocation import DigicertRevocation, DigicertRevoked
from shared.adapters.transport import Transport
from shared.core.profile import (
    CaManagerChain,
    CertificateUpstream,
    EstChain,
    FileChain,
    Label,
    PasscodeUpstream,
    Profile,
    RestUpstream,
)
from shared.core.profile import Upstream as ConfiguredUpstream
from shared.flows.ports.inventory import Inventory
from shared.flows.ports.issuance import ChainSource, Upstream
from shared.flows.ports.revocation import Revocation, RevokedList
from shared.flows.ports.secrets import FreshSecrets


@dataclass(frozen=True)
class Connections:
    """One circuit breaker per host of DigiCert ONE, one session per host and credential."""

    secrets: FreshSecrets
    http: httpx.AsyncClient
    transport: Callable[[], Transport]
    transports: dict[str, Transport] = field(default_factory=dict)
    sessions: dict[tuple[str, digicert.Credential], digicert.Session] = field(default_factory=dict)

    def session(self, url: str, credential: digicert.Credential) -> digicert.Session:
        host = httpx.URL(url).netloc.decode()
        if (host, credential) not in self.sessions:
            if host not in self.transports:
                self.transports[host] = self.transport()
            made = digicert.Session(self.transports[host], self.secrets, credential, self.http)
            self.sessions[host, credential] = made
        return self.sessions[host, credential]

    def circuits(self) -> dict[str, bool]:
        """Whether each host's circuit is open."""
        return {host: transport.breaker.is_open for host, transport in self.transports.items()}

    async def aclose(self) -> None:
        """For a process that ends before its connections do; the app's live as long as it does."""
        for session in self.sessions.values():
            await session.aclose()

    def upstream(self, profile: Profile) -> Upstream:
        match profile.upstream:
            case RestUpstream() as rest:
                return RestAdapter(self._certificates(rest))
            case PasscodeUpstream() | CertificateUpstream() as est:
                look_up = self._certificates(profile.lookup) if profile.lookup else None
                return EstUpstream(self.session(est.url, _credential(est)), est.url, look_up)
            case _:
                assert_never(profile.upstream)

    def chain(self, profile: Profile) -> ChainSource:
        match profile.chain:
            case FileChain(certificates=certificates):
                return FileChainSource(certificates)
            case CaManagerChain() as manager:
                session = self.session(manager.url, digicert.ApiKey(manager.api_key_secret))
                return CaManagerChainSource(session, manager.url, manager.ca_ids)
            case EstChain():
                url = profile.upstream.url
                return EstChainSource(self.session(url, _credential(profile.upstream)), url)
            case _:
                assert_never(profile.chain)

    def revocations(self, profiles: Mapping[Label, Profile]) -> dict[Label, Revocation]:
        """Of each label whose profile names the REST interface."""
        return {
            label: DigicertRevocation(self._rest_session(rest), rest.url)
            for label, profile in profiles.items()
            if (rest := _management(profile)) is not None
        }

    def revoked_lists(self, profiles: Mapping[Label, Profile]) -> dict[tuple[Label, ...], RevokedList]:
        """One for each account, as far as the credentials tell accounts apart."""
        shared: dict[tuple[str, digicert.Credential], list[Label]] = {}
        for label, profile in profiles.items():
            rest = _management(profile)
            if rest is not None:
                shared.setdefault((rest.url, _credential(rest)), []).append(label)
        return {
            tuple(labels): DigicertRevoked(self.session(url, credential), url)
            for (url, credential), labels in shared.items()
        }

    def inventories(self, profiles: Mapping[Label, Profile]) -> dict[Label, Inventory]:
        return {
            label: self._certificates(rest)
            for label, profile in profiles.items()
            if (rest := _management(profile)) is not None
        }

    def _rest_session(self, rest: RestUpstream) -> digicert.Session:
        return self.session(rest.url, _credential(rest))

    def _certificates(self, rest: RestUpstream) -> Certificates:
        return Certificates(self._rest_session(rest), rest.url, rest.enrollment_profile_id)


def _credential(configured: ConfiguredUpstream) -> digicert.Credential:
    match configured:
        case PasscodeUpstream(passcode_secret=name):
            return digicert.BasicPasscode(name)
        case CertificateUpstream(client_certificate_secret=name):
            return digicert.ClientCertificate(name)
        case RestUpstream(api_key_secret="", client_certificate_secret=name):
            return digicert.ClientCertificate(name)
        case RestUpstream(api_key_secret=name):
            return digicert.ApiKey(name)
        case _:
            assert_never(configured)


def _management(profile: Profile) -> RestUpstream | None:
    """The REST interface that the profile names, for look-ups or as its upstream."""
    return profile.upstream if isinstance(profile.upstream, RestUpstream) else profile.lookup


def credential_secret(profile: Profile) -> str:
    """The name of the secret by which the profile's upstream knows us."""
    return _credential(profile.upstream).secret


@dataclass(frozen=True)
class FileChainSource:
    """A chain that stands in a file beside the profiles, read with them."""

    certificates: tuple[x509.Certificate, ...]

    async def fetch(self) -> list[x509.Certificate]:
        return list(self.certificates)
