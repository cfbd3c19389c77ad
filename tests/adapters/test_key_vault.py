"""A read of Key Vault that is under way while the secret is renewed."""

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from shared.adapters.key_vault import KeyVault

if TYPE_CHECKING:
    from azure.keyvault.secrets.aio import SecretClient

pytestmark = pytest.mark.anyio


class SlowVault:
    """Stands for SecretClient: a read takes the value that is there when it begins, and ends when it is let go."""

    def __init__(self) -> None:
        self.value = "old"
        self.go = asyncio.Event()

    async def get_secret(self, name: str) -> SimpleNamespace:
        del name
        value = self.value
        await self.go.wait()
        return SimpleNamespace(value=value)


async def test_an_old_value_that_comes_after_the_news_is_not_kept() -> None:
    vault = SlowVault()
    secrets = KeyVault(cast("SecretClient", vault), asyncio.get_running_loop().time)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(secrets.get("passcode"))
        await asyncio.sleep(0)
        vault.value = "new"
        group.create_task(secrets.forget("Passcode"))
        await asyncio.sleep(0)
        vault.go.set()
    assert reading.result() == "old"
    assert await secrets.get("passcode") == "new"
