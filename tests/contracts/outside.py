"""The real adapters, joined to the running sandbox as wiring joins them to Azure."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from azure.data.tables.aio import TableServiceClient
from azure.identity import ManagedIdentityCredential as BlockingCredential
from azure.identity.aio import ManagedIdentityCredential
from azure.keyvault.secrets.aio import SecretClient
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue import TextBase64DecodePolicy, TextBase64EncodePolicy
from azure.storage.queue.aio import QueueServiceClient

from shared import profiles
from shared.adapters import digicert, tls
from shared.adapters.blobs import Blobs
from shared.adapters.dps import SCOPE, DpsEnrollments
from shared.adapters.iot_hub import IotHubs
from shared.adapters.key_vault import KeyVault
from shared.adapters.ledger_table import TableLedger
from shared.adapters.queues import StorageQueues
from shared.adapters.tables import Tables
from shared.core.profile import Profiles
from shared.settings import Settings
from shared.wiring import transport
from shared.wiring.digicert_one import Connections
from tests.conftest import Running

_QUICK: dict[str, Any] = {"retry_total": 1, "retry_backoff_factor": 0.05, "connection_timeout": 3, "read_timeout": 6}
# Of Storage's own retry policy, which begins with 15 seconds.
_BACK_OFF: dict[str, Any] = {"initial_backoff": 0, "increment_base": 0, "random_jitter_range": 0}
NOBODY = "https://127.0.0.1:9"  # nothing listens on the discard port


@dataclass(frozen=True)
class Outside:
    """`dead_ledger`, `dead_queues` and `dead_blobs` are adapters of a store that does not answer."""

    sandbox: Running
    profiles: Profiles
    hub_hosts: dict[str, str]
    key_vault: KeyVault
    ledger: TableLedger
    dead_ledger: TableLedger
    queues: StorageQueues
    dead_queues: StorageQueues
    blobs: Blobs
    dead_blobs: Blobs
    enrollments: DpsEnrollments
    hubs: IotHubs
    connections: Connections


def sandbox_of(request: pytest.FixtureRequest) -> tuple[Running, Outside]:
    """The sandbox without faults, and its adapters, for a fixture that needs them in some of its variants."""
    return request.getfixturevalue("sandbox"), request.getfixturevalue("outside")


def environment(sandbox: Running) -> dict[str, str]:
    lines = (sandbox.state / "env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line)


def _queues(credential: ManagedIdentityCredential, url: str, options: dict[str, Any]) -> QueueServiceClient:
    return QueueServiceClient(
        url,
        credential,
        message_encode_policy=TextBase64EncodePolicy(),
        message_decode_policy=TextBase64DecodePolicy(),
        **_BACK_OFF,
        **options,
    )


@asynccontextmanager
async def adapters(sandbox: Running) -> AsyncIterator[Outside]:
    """All adapters, closed at the end; the sandbox's environment is that of this process meanwhile."""
    settings = Settings.from_environment(environment(sandbox))
    known = profiles.load(settings.profiles_path, settings.hub_hosts)
    # aiohttp has read SSL_CERT_FILE when it was imported, before there was a sandbox.
    options = _QUICK | {"connection_verify": str(sandbox.tls_root)}
    async with AsyncExitStack() as stack:
        credential = await stack.enter_async_context(ManagedIdentityCredential(**options))
        secret_client = await stack.enter_async_context(SecretClient(settings.key_vault_url, credential, **options))
        tables = [
            await stack.enter_async_context(TableServiceClient(url, credential=credential, **options))
            for url in (settings.table_uri, f"{NOBODY}/devstoreaccount1")
        ]
        queues = [
            await stack.enter_async_context(_queues(credential, url, options))
            for url in (settings.queue_uri, f"{NOBODY}/devstoreaccount1")
        ]
        blobs = [
            await stack.enter_async_context(BlobServiceClient(url, credential, **_BACK_OFF, **options))
            for url in (settings.blob_uri, f"{NOBODY}/devstoreaccount1")
        ]
        http = await stack.enter_async_context(digicert.client(tls.context()))
        key_vault = KeyVault(secret_client, time.monotonic)
        connections = Connections(key_vault, http, transport)
        stack.push_async_callback(_close, connections)

        async def token() -> str:
            return str((await credential.get_token(SCOPE)).token)

        hubs = IotHubs(settings.hub_hosts, BlockingCredential)
        stack.callback(_end, hubs)
        yield Outside(
            sandbox,
            known,
            dict(settings.hub_hosts),
            key_vault,
            TableLedger(Tables(tables[0])),
            TableLedger(Tables(tables[1])),
            StorageQueues(queues[0]),
            StorageQueues(queues[1]),
            Blobs(blobs[0]),
            Blobs(blobs[1]),
            DpsEnrollments(transport(), http, settings.dps_host, token),
            hubs,
            connections,
        )


async def _close(connections: Connections) -> None:
    """The clients with certificates of their own."""
    for session in connections.sessions.values():
        if session._certified is not None:
            await session._certified[1].aclose()


def _end(hubs: IotHubs) -> None:
    for threads in hubs._threads.values():
        threads.shutdown()
