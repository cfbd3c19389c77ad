"""The vault, through Microsoft's own SecretClient: challenge, token and secret over real TLS."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity.aio import ManagedIdentityCredential
from azure.keyvault.secrets.aio import SecretClient

from sandbox import entra, key_vault
from sandbox.credentials import new_credentials
from sandbox.key_vault import VAULT, Vault
from sandbox.world import new_world
from tests.sandbox.serving import serving, tls_context, with_session

SECRETS = {"digicert-api-key": "first", "digicert-client": "-----BEGIN-----\nline\n"}


@pytest.fixture
def in_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Runs steps with the real client and the vault behind it."""
    world = new_world()
    credentials = new_credentials(world)

    async def run(steps: Callable[[SecretClient, Vault], Awaitable[None]]) -> None:
        tls = tls_context(tmp_path)
        vault = key_vault.app(world, credentials, SECRETS)
        async with serving(entra.app(world, credentials), tls) as identity, serving(vault, tls) as port:
            monkeypatch.setenv("IDENTITY_ENDPOINT", f"https://localhost:{identity}/msi/token")
            monkeypatch.setenv("IDENTITY_HEADER", credentials.identity_header)
            anchors = str(tmp_path / "tls-root.pem")  # aiohttp read SSL_CERT_FILE when it was imported
            async with (
                ManagedIdentityCredential(connection_verify=anchors) as credential,
                SecretClient(
                    f"https://127.0.0.1:{port}", credential, connection_verify=anchors, retry_total=0
                ) as client,
            ):
                await steps(client, vault[VAULT])
        told = [entry["event"] for entry in world.journal.entries if entry["service"] == "Key Vault"]
        assert told.count("challenge") == 1  # one token serves all calls of a client

    return lambda steps: asyncio.run(run(steps))


def test_the_real_client_reads_a_secret_and_its_newest_version(in_vault: Callable[[Any], None]) -> None:
    async def steps(client: SecretClient, vault: Vault) -> None:
        first = await client.get_secret("digicert-api-key")
        assert first.value == "first"
        assert vault.set_secret("digicert-api-key", "first") == first.properties.version
        version = vault.set_secret("digicert-api-key", "second")
        second = await client.get_secret("digicert-api-key")
        assert (second.value, second.properties.version) == ("second", version)
        assert (await client.get_secret("digicert-api-key", first.properties.version)).value == "first"
        assert (await client.get_secret("digicert-client")).value == SECRETS["digicert-client"]

    in_vault(steps)


def test_the_real_client_writes_a_new_version_each_time_and_it_is_announced(in_vault: Callable[[Any], None]) -> None:
    async def steps(client: SecretClient, vault: Vault) -> None:
        announced: list[tuple[str, str]] = []
        vault.announce = lambda name, version: announced.append((name, version))
        made = [await client.set_secret("est-passcode", "user:word") for _ in range(2)]
        assert announced == [("est-passcode", one.properties.version) for one in made]
        assert len({version for _, version in announced}) == 2
        assert (await client.get_secret("est-passcode")).value == "user:word"
        assert "user:word" in vault.world.secrets
        with pytest.raises(HttpResponseError, match="too long"):
            await client.set_secret("est-passcode", "x" * 25_601)

    in_vault(steps)


def test_the_real_client_lists_names_without_values(in_vault: Callable[[Any], None]) -> None:
    async def steps(client: SecretClient, _: Vault) -> None:
        names = [properties.name async for properties in client.list_properties_of_secrets()]
        assert names == sorted(SECRETS)

    in_vault(steps)


def test_an_unknown_secret_and_a_disabled_one_fail_as_the_sdk_expects(in_vault: Callable[[Any], None]) -> None:
    async def steps(client: SecretClient, vault: Vault) -> None:
        with pytest.raises(ResourceNotFoundError, match="SecretNotFound"):
            await client.get_secret("nothing")
        with pytest.raises(ResourceNotFoundError, match="SecretNotFound"):
            await client.get_secret("digicert-api-key", "0" * 32)
        vault.enable("digicert-api-key", enabled=False)
        with pytest.raises(HttpResponseError, match="disabled secret") as refusal:
            await client.get_secret("digicert-api-key")
        assert refusal.value.status_code == 403
        vault.enable("digicert-api-key", enabled=True)
        assert (await client.get_secret("digicert-api-key")).value == "first"

    in_vault(steps)


@pytest.mark.parametrize(
    ("host", "resource"), [("127.0.0.1:9446", "https://0.0.1:9446"), ("localhost:9446", "https://0.0.1:9446")]
)
def test_the_challenge_names_the_tenant_and_the_resource(host: str, resource: str) -> None:
    challenge = f'Bearer authorization="https://login.microsoftonline.com/{entra.TENANT}", resource="{resource}"'
    status, header = ask("secrets/digicert-api-key?api-version=2025-07-01", host=host)
    assert (status, header) == (401, challenge)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("secrets/digicert-api-key/?api-version=7.4", 200),
        ("secrets/digicert-api-key?api-version=7.4", 200),
        ("secrets/digicert-api-key", 400),
        ("secrets/digicert-api-key?api-version=1.0", 400),
        ("secrets/digicert-api-key?api-version=7.4&x=y", 400),
        ("keys/digicert-api-key?api-version=7.4", 501),
    ],
)
def test_only_known_requests_are_answered(target: str, status: int) -> None:
    assert ask(target, audience=entra.KEY_VAULT_AUDIENCE)[0] == status


def test_a_token_for_another_resource_is_challenged() -> None:
    assert ask("secrets/digicert-api-key?api-version=7.4", audience=entra.DPS_AUDIENCE)[0] == 401


def ask(target: str, *, host: str = "127.0.0.1:9446", audience: str = "") -> tuple[int, str]:
    world = new_world()
    credentials = new_credentials(world)
    headers = {"Host": host}
    if audience:
        now = world.clock.now()
        token = entra.issue_token(world, credentials, audience, not_before=now, expires=now + entra.LIFETIME)
        headers["Authorization"] = f"Bearer {token}"

    async def steps(session: ClientSession, port: int) -> tuple[int, str]:
        async with session.get(f"http://127.0.0.1:{port}/{target}", headers=headers) as answer:
            return answer.status, answer.headers.get("WWW-Authenticate", "")

    app: web.Application = key_vault.app(world, credentials, SECRETS)
    return with_session(app, steps)
