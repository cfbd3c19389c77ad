"""The device's block in DPS, for somebody who is signed in to Azure and may take it out: by the service API of DPS."""

import asyncio
import logging
from urllib.parse import quote

import httpx
from azure.core.exceptions import AzureError
from azure.identity.aio import DefaultAzureCredential

from shared.adapters import digicert, tls
from shared.adapters.dps import SCOPE, DpsService, document, quoted
from shared.core.errors import Refusal
from shared.flows.ports.ledger import StaleVersionError
from shared.wiring import transport


class NotDone(Exception):
    """Why the block still stands. The text holds no secret."""


def unblock(host: str, name: str) -> None:
    """Deletes the disabled individual enrollment of the device. Raises NotDone."""
    logging.getLogger("azure").setLevel(logging.CRITICAL)  # what goes wrong there is told as NotDone
    try:
        asyncio.run(_unblocked(host, name))
    except AzureError as error:
        raise NotDone(f"nobody is signed in: {' '.join(str(error.message).split())[:100]}") from error
    except StaleVersionError as error:
        raise NotDone("somebody changes the enrollment at this moment") from error
    except Refusal as error:
        raise NotDone(f"DPS does not let us: {error.cause[:150]}") from error


async def _unblocked(host: str, name: str) -> None:
    path = f"/enrollments/{quote(name, safe='')}"
    async with DefaultAzureCredential() as credential, digicert.client(tls.context()) as client:

        async def token() -> str:
            return str((await credential.get_token(SCOPE)).token)

        service = DpsService(transport(), client, host, token)
        found = await service.send("GET", path)
        if found.status_code == 404:
            raise NotDone("DPS holds no enrollment of the device: its block was never put there")
        answer = await _deleted(service, path, str(document(found)["etag"]))
        if answer.status_code not in {204, 404}:
            document(answer)


async def _deleted(service: DpsService, path: str, etag: str) -> httpx.Response:
    return await service.send("DELETE", path, {"If-Match": quoted(etag)})
