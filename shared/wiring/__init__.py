"""The composition root: settings to adapters to flows. The only reader of the environment and of the clock."""

import asyncio
import functools
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import httpx

from shared import profiles
from shared.adapters import digicert, tls
from shared.adapters.backlog import StorageBacklog
from shared.adapters.crl import HttpCrls
from shared.adapters.dps import SCOPE, DpsEnrollments, DpsService
from shared.adapters.dps_groups import DpsGroups
from shared.adapters.event_topic import EventTopic
from shared.adapters.fleet_table import TableFleet
from shared.adapters.iot_hub import IotHubs
from shared.adapters.key_vault import KeyVault
from shared.adapters.ledger_index import TableHints, TableIndex, TableSchedule, TableWatermarks
from shared.adapters.ledger_table import TableLedger
from shared.adapters.poison import StoragePoison
from shared.adapters.queues import StorageQueues
from shared.adapters.tables import Tables
from shared.adapters.transport import Breaker, Transport
from shared.adapters.wishes import TableWishes
from shared.core.identity import DeviceId
from shared.core.profile import Label, Profiles
from shared.flows.adopt import Adopt
from shared.flows.announce import Announce
from shared.flows.application import Application
from shared.flows.backlog import Backlog
from shared.flows.census import Census
from shared.flows.crl_reader import CrlMarks
from shared.flows.enroll import Enroll
from shared.flows.issue import Issue
from shared.flows.issuers import Issuers, RememberedChain
from shared.flows.manifest import Manifest
from shared.flows.once import Once
from shared.flows.operate import Operate
from shared.flows.passcodes import Passcodes
from shared.flows.ports.issuance import ChainSource
from shared.flows.provision import Provision
from shared.flows.ready import Ready
from shared.flows.renew import Renew
from shared.flows.revocation_sync import RevocationSync
from shared.flows.revoke import Revoke
from shared.flows.revoked_devices import RevokedDevices
from shared.flows.rotate import Rotate
from shared.flows.survey import Survey
from shared.flows.sweep import Sweep
from shared.flows.trust import Chains
from shared.flows.trust_outbox import TrustOutbox
from shared.flows.trust_reconcile import TrustReconcile
from shared.settings import Settings
from shared.telemetry import measures
from shared.wiring import batches, monitor
from shared.wiring.digicert_one import Connections, credential_secret

if TYPE_CHECKING:
    from azure.storage.blob.aio import BlobServiceClient


@functools.cache
def application() -> Application:
    """The application of this process, made at first use. Raises Misconfigured, each time until it is mended."""
    watched()
    settings = Settings.from_environment(os.environ)
    return assemble(settings, profiles.load(settings.profiles_path, settings.hub_hosts))


@functools.cache
def watched() -> None:
    """Once, also where the application has to be made again and again because its settings are wrong."""
    monitor.join(os.environ)


def now() -> datetime:
    return datetime.now(UTC)


def assemble(settings: Settings, known: Profiles) -> Application:
    """The application over the real adapters. Azure's SDKs are imported here, at first use, and nowhere earlier."""
    from azure.data.tables.aio import TableServiceClient
    from azure.eventgrid.aio import EventGridPublisherClient
    from azure.identity import ManagedIdentityCredential as BlockingCredential
    from azure.identity.aio import ManagedIdentityCredential
    from azure.keyvault.secrets.aio import SecretClient
    from azure.storage.blob.aio import BlobServiceClient
    from azure.storage.queue.aio import QueueServiceClient

    identity = settings.client_id or None
    credential = ManagedIdentityCredential(client_id=identity)
    http = digicert.client(tls.context())

    async def dps_token() -> str:
        token: str = (await credential.get_token(SCOPE)).token
        return token

    # The Storage SDK has a retry policy of its own, which begins with 15 seconds.
    storage = {**_PATIENCE, "initial_backoff": 1, "increment_base": 0, "random_jitter_range": 0}
    queues = QueueServiceClient(settings.queue_uri, credential, **storage)
    topic = EventGridPublisherClient(settings.event_topic_url, credential, **_PATIENCE)
    return joined(
        settings,
        known,
        Outside(
            secrets=KeyVault(SecretClient(settings.key_vault_url, credential, **_PATIENCE), time.monotonic),
            http=http,
            tables=Tables(TableServiceClient(settings.table_uri, credential=credential, **_PATIENCE)),
            dps=DpsService(transport(), http, settings.dps_host, dps_token),
            hubs=IotHubs(settings.hub_hosts, lambda: BlockingCredential(client_id=identity)),
            blobs=BlobServiceClient(settings.blob_uri, credential, **storage),
            work=StorageQueues(queues),
            poison=StoragePoison(queues),
            backlog=StorageBacklog(queues, now),
            topic=EventTopic(topic),
        ),
    )


@dataclass(frozen=True)
class Outside:
    """The clients of everything outside but DigiCert ONE, whose connections follow from the profiles."""

    secrets: KeyVault
    http: httpx.AsyncClient
    tables: Tables
    dps: DpsService
    hubs: IotHubs
    blobs: "BlobServiceClient"
    work: StorageQueues
    poison: StoragePoison
    backlog: StorageBacklog
    topic: EventTopic


def joined(settings: Settings, known: Profiles, outside: Outside) -> Application:
    """The flows over what is outside."""
    connections = Connections(outside.secrets, outside.http, transport)
    ledger, watermarks = TableLedger(outside.tables), TableWatermarks(outside.tables)
    schedule, hints = TableSchedule(outside.tables), TableHints(outside.tables)
    dps = outside.dps
    enrollments, hubs, work = DpsEnrollments(dps.transport, dps.client, dps.host, dps.token), outside.hubs, outside.work
    issuers = Issuers(watermarks, now)
    sources = {
        label: RememberedChain(label, connections.chain(profile), watermarks, now)
        for label, profile in known.by_label.items()
    }
    chains = Chains(sources, now)
    secret = credential_secret(known.by_label[known.default])
    rotate = Rotate(known, settings.hub_hosts, ledger, enrollments, hubs, work, now)
    revoke = Revoke(known, ledger, enrollments, hubs, connections.revocations(known.by_label), work, now)
    fleet = TableFleet(outside.tables)
    survey = Survey(ledger, fleet, hints, now)
    provision = Provision(known, settings.hub_hosts, ledger, hubs, enrollments, rotate, revoke, work, now)
    announce = Announce(ledger, outside.topic)
    passcodes = Passcodes(known, ledger, secrets.token_bytes, asyncio.to_thread, now, asyncio.sleep)
    adopt = Adopt(
        profiles=known,
        chains=chains,
        issuers=issuers,
        inventories=connections.inventories(known.by_label),
        crl_marks=CrlMarks(watermarks),
        ledger=ledger,
        provision=provision,
        revoked=RevokedDevices(TableIndex(outside.tables), ledger, revoke, now),
        work=work,
        clock=now,
    )
    issue = Issue(
        {label: connections.upstream(profile) for label, profile in known.by_label.items()},
        Once(ledger, chains, issuers, now, asyncio.sleep),
        rotate,
        adopt,
    )
    wishes = TableWishes(outside.tables)
    kept = batches.Outside(outside.tables, outside.blobs, work, wishes)
    measures.watch_circuits(lambda: {**connections.circuits(), dps.host: dps.transport.breaker.is_open})
    return Application(
        enroll=Enroll(
            profiles=known,
            secrets=outside.secrets,
            chains=chains,
            issue=issue,
            passcodes=passcodes,
            clock=now,
        ),
        provision=provision,
        adopt=adopt,
        rotate=rotate,
        revoke=revoke,
        renew=Renew(known, ledger, hubs, schedule, watermarks, work, now, settings.nudges_per_minute),
        announce=announce,
        sweep=Sweep(ledger, hints, revoke, announce),
        revocation_sync=RevocationSync(
            urls={label: profile.crl_urls for label, profile in known.by_label.items()},
            lists=connections.revoked_lists(known.by_label),
            crls=HttpCrls(outside.http),
            chains=chains,
            issuers=issuers,
            index=TableIndex(outside.tables),
            ledger=ledger,
            watermarks=watermarks,
            revoke=revoke,
            clock=now,
        ),
        trust_reconcile=TrustReconcile(
            profiles=known,
            chains=sources,
            issuers=issuers,
            groups=DpsGroups(outside.dps),
            outbox=TrustOutbox(watermarks, outside.topic),
            watermarks=watermarks,
            dps_host=settings.dps_host,
            clock=now,
        ),
        operate=Operate(ledger, revoke, wishes, outside.poison, work, now),
        manifest=Manifest(known, ledger, now),
        batching=batches.batching(settings, kept, now),
        batch_run=batches.batch_run(settings, known, issue, kept, now),
        survey=survey,
        backlog=Backlog(outside.backlog, outside.poison, survey, now),
        census=Census(fleet, watermarks, now),
        secrets=outside.secrets,
        client_certificate_header=settings.client_certificate_header,
        front_end_secret_name=settings.front_end_secret_name,
        platform_authenticates=settings.platform_authenticates,
        ready=Ready(_checks(settings, secret, outside, sources), time.monotonic),
        seconds=time.monotonic,
    )


def _checks(
    settings: Settings, secret: str, outside: Outside, sources: Mapping[Label, ChainSource]
) -> dict[str, Callable[[], Awaitable[object]]]:
    """One question to each outside system."""
    ready = DeviceId("birthcert-readiness")
    dps = outside.dps
    return {
        "key_vault": lambda: outside.secrets.get_fresh(secret),
        "ledger": TableLedger(outside.tables).ping,
        "dps": DpsEnrollments(dps.transport, dps.client, dps.host, dps.token).ping,
        **{f"digicert/{label}": source.fetch for label, source in sources.items()},
        **{f"iot_hub/{hub}": functools.partial(outside.hubs.identity, hub, ready) for hub in settings.hub_hosts},
    }


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
