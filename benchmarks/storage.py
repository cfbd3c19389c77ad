"""An Azurite of the benchmark's own, empty and with no function host that would take up what is put into its queues."""

import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables.aio import TableServiceClient
from azure.storage.queue.aio import QueueServiceClient

from sandbox import azurite, children, files, pki, ports, probes
from shared.adapters.queues import StorageQueues
from shared.adapters.tables import Tables

# Public, and the same in every Azurite: learn.microsoft.com/azure/storage/common/storage-connect-azurite
_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Storage:
    tables: Tables
    queues: StorageQueues


@contextlib.asynccontextmanager
async def azurite_of_its_own() -> AsyncIterator[Storage]:
    """The real adapters over it, on ports that are free."""
    installed, root = azurite.install(print), pki.tls_root()
    with tempfile.TemporaryDirectory() as name:
        folder, services = Path(name), dict(zip(azurite.PORTS, _free(len(azurite.PORTS)), strict=True))
        paths = files.write_server(folder, *pki.server_certificate(root))
        trust = folder / "root.pem"
        trust.write_text(pki.certificate_pem(root.certificate))
        command = azurite.command(installed, *paths, services)
        child = await children.start("Azurite", command, folder / "azurite.log")
        try:
            for port in services.values():
                await probes.listening(port)
            async with _clients(services, trust) as storage:
                yield storage
        finally:
            await child.stop()


@contextlib.asynccontextmanager
async def _clients(services: dict[str, int], trust: Path) -> AsyncIterator[Storage]:
    credential = AzureNamedKeyCredential(files.STORAGE_ACCOUNT, _KEY)
    urls = {name: f"https://{ports.LOOPBACK}:{port}/{files.STORAGE_ACCOUNT}" for name, port in services.items()}
    # `use_env_settings` as in wiring: it costs CPU at each request.
    options: dict[str, Any] = {"connection_verify": str(trust), "use_env_settings": False}
    async with (
        TableServiceClient(urls["table"], credential=credential, **options) as tables,
        QueueServiceClient(urls["queue"], credential, **options) as queues,
    ):
        yield Storage(Tables(tables), StorageQueues(queues))


def _free(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((ports.LOOPBACK, 0))
        return [int(one.getsockname()[1]) for one in sockets]
