"""The composition root: settings to adapters to flows. The only reader of the environment and of the clock."""

import asyncio
import functools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, assert_never

import httpx
from cryptography import x509

from shared import profiles, telemetry
from shared.adapters import digicert, tls
from shared.adapters.ca_manager import CaManagerChainSource
from shared.adapters.digicert_est import EstChainSource, EstUpstream
from shared.adapters.digicert_rest import Certificates
from shared.adapters.digicert_rest import RestUpstream as RestAdapter
from shared.adapters.dps import SCOPE, DpsEnrollments
from shared.adapters.iot_hub import IotHubs
from shared.adapters.key_vault import KeyVault
from shared.adapters.ledger_table import TableLedger
from shared.adapters.queues import StorageQueues
from shared.adapters.transport import Breaker, Transport
from shared.core.identity import DeviceId
from shared.core.profile import (
    CaManagerChain,
    CertificateUpstream,
    EstChain,
    FileChain,
    Label,
    PasscodeUpstream,
    Profile,
    Profiles,
    RestUpstream,
)
from shared.core.profile import Upstream as ConfiguredUpstream
from shared.flows.application import Application
from shared.flows.enroll import Enroll
from shared.flows.once import Once
from shared.flows.ports import ChainSource, FreshSecrets, Secrets, Upstream
from shared.flows.provision import Provision
from shared.flows.ready import Ready
from shared.flows.trust import Chains
from shared.settings import Settings


@functools.cache
def application() -> Application:
    """The application of this process, made at first use. Raises Misconfigured, each time until it is mended."""
    telemetry.setup()
    settings = Settings.from_environment(os.environ)
    return assemble(settings, profiles.load(settings.profiles_path, settings.hub_hosts))


def now() -> datetime:
    return datetime.now(UTC)


def assemble(settings: Settings, known: Profiles) -> Application:
    """The application over the real adapters. Azure's SDKs are imported here, at first use, and nowhere earlier."""
    from azure.data.tables.aio import TableServiceClient
    from azure.identity import ManagedIdentityCredential as BlockingCredential
    from azure.identity.aio import ManagedIdentityCredential
    from azure.keyvault.secrets.aio import SecretClient
    from azure.storage.queue.aio import QueueServiceClient

    identity = settings.client_id or None
    credential = ManagedIdentityCredential(client_id=identity)
    key_vault = KeyVault(SecretClient(settings.key_vault_url, credential, **_PATIENCE), time.monotonic)
    ledger = TableLedger(TableServiceClient(settings.table_uri, credential=credential, **_PATIENCE))
    queues = QueueServiceClient(
        settings.queue_uri,
        credential,
        # The Storage SDK has a retry policy of its own, which begins with 15 seconds.
        **{**_PATIENCE, "initial_backoff": 1, "increment_base": 0, "random_jitter_range": 0},
    )
    http = digicert.client(tls.context())

    async def dps_token() -> str:
        token: str = (await credential.get_token(SCOPE)).token
        return token

    enrollments = DpsEnrollments(transport(), http, settings.dps_host, dps_token)
    hubs = IotHubs(settings.hub_hosts, lambda: BlockingCredential(client_id=identity))
    provision = Provision(known, settings.hub_hosts, ledger, enrollments, hubs, StorageQueues(queues))
    connections = Connections(key_vault, http)
    sources = {label: connections.chain(profile) for label, profile in known.by_label.items()}
    upstreams = {label: connections.upstream(profile) for label, profile in known.by_label.items()}
    ready = DeviceId("birthcert-readiness")
    return Application(
        enroll=enrolling(known, key_vault, sources, upstreams, provision),
        provision=provision,
        secrets=key_vault,
        client_certificate_header=settings.client_certificate_header,
        front_end_secret_name=settings.front_end_secret_name,
        ready=Ready(
            {
                "key_vault": lambda: key_vault.get_fresh(_secret(known.by_label[known.default].upstream)),
                "ledger": ledger.ping,
                "dps": enrollments.ping,
                **{f"digicert/{label}": source.fetch for label, source in sources.items()},
                **{f"iot_hub/{hub}": functools.partial(hubs.identity, hub, ready) for hub in settings.hub_hosts},
            },
            time.monotonic,
        ),
        seconds=time.monotonic,
    )


def enrolling(
    known: Profiles,
    secrets: Secrets,
    sources: Mapping[Label, ChainSource],
    upstreams: Mapping[Label, Upstream],
    provision: Provision,
) -> Enroll:
    """The enrollment flow over any set of ports: the real ones here, in-memory ones in tests and benchmarks."""
    chains = Chains(sources, now)
    once = Once(provision.ledger, chains, now, asyncio.sleep)
    return Enroll(known, secrets, chains, upstreams, once, provision, now)


def transport() -> Transport:
    return Transport(Breaker(time.monotonic), now, time.monotonic)


# azure-core retries ten times by default, far beyond what a device or Event Grid waits.
_PATIENCE: Final[dict[str, Any]] = {
    # A look into .netrc and the proxy variables at each request costs a fifth of an enrollment's CPU; Azure's services
    # are reached directly, or over private endpoints.
    "use_env_settings": False,
    "retry_total": 2,
    "retry_backoff_factor": 0.2,
    "retry_backoff_max": 2,
    "connection_timeout": 3,
    "read_timeout": 6,
}


@dataclass(frozen=True)
class Connections:
    """One circuit breaker per host of DigiCert ONE, one session per host and credential."""

    secrets: FreshSecrets
    http: httpx.AsyncClient
    transports: dict[str, Transport] = field(default_factory=dict)
    sessions: dict[tuple[str, digicert.Credential], digicert.Session] = field(default_factory=dict)

    def session(self, url: str, credential: digicert.Credential) -> digicert.Session:
        host = httpx.URL(url).netloc.decode()
        if (host, credential) not in self.sessions:
            if host not in self.transports:
                self.transports[host] = transport()
            made = digicert.Session(self.transports[host], self.secrets, credential, self.http)
            self.sessions[host, credential] = made
        return self.sessions[host, credential]

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

    def _certificates(self, rest: RestUpstream) -> Certificates:
        return Certificates(self.session(rest.url, _credential(rest)), rest.url, rest.enrollment_profile_id)


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


def _secret(configured: ConfiguredUpstream) -> str:
    return _credential(configured).secret


@dataclass(frozen=True)
class FileChainSource:
    """A chain that stands in a file beside the profiles, read with them."""

    certificates: tuple[x509.Certificate, ...]

    async def fetch(self) -> list[x509.Certificate]:
        return list(self.certificates)
