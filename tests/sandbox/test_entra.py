"""The token endpoint, through Microsoft's own credential classes and by hand where they never go."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import make_mocked_request
from azure.identity import ManagedIdentityCredential
from azure.identity.aio import ManagedIdentityCredential as AioManagedIdentityCredential

from sandbox import entra
from sandbox.credentials import Credentials, new_credentials
from sandbox.world import World, new_world
from tests.sandbox.serving import serving, tls_context, with_session

NOW = new_world().clock.now()


def world_and_credentials() -> tuple[World, Credentials]:
    world = new_world()
    return world, new_credentials(world)


def carrying(token: str) -> web.Request:
    return make_mocked_request("GET", "/enrollments", headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize("scope", [f"{entra.IOT_HUB_AUDIENCE}/.default", f"{entra.STORAGE_AUDIENCE}/.default"])
def test_both_real_credentials_get_tokens_that_open_what_they_asked_for(
    scope: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, credentials = world_and_credentials()

    anchors = str(tmp_path / "tls-root.pem")  # aiohttp reads SSL_CERT_FILE when it is imported: too early for a test

    async def run() -> list[str]:
        async with serving(entra.app(world, credentials), tls_context(tmp_path)) as port:
            monkeypatch.setenv("IDENTITY_ENDPOINT", f"https://localhost:{port}/msi/token")
            monkeypatch.setenv("IDENTITY_HEADER", credentials.identity_header)
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", anchors)
            async with AioManagedIdentityCredential(client_id=entra.IDENTITY, connection_verify=anchors) as aio:
                first = await aio.get_token(scope)
            with ManagedIdentityCredential() as plain:
                second = await asyncio.to_thread(plain.get_token, scope)
        assert second.expires_on > NOW.timestamp() + 23 * 3600
        return [first.token, second.token]

    audience = scope.removesuffix("/.default")
    for token in asyncio.run(run()):
        assert token in world.secrets
        entra.check_token(world, credentials, carrying(token), audience)
        with pytest.raises(web.HTTPUnauthorized):
            entra.check_token(world, credentials, carrying(token), entra.DPS_AUDIENCE)


GOOD = {"api-version": "2019-08-01", "resource": entra.DPS_AUDIENCE}


@pytest.mark.parametrize(
    ("parameters", "header", "status"),
    [
        (GOOD, "right", 200),
        (GOOD | {"resource": f"{entra.STORAGE_AUDIENCE}/"}, "right", 200),
        (GOOD | {"resource": "https://0.0.1:9446"}, "right", 200),
        (GOOD, "", 400),
        (GOOD, "wrong", 401),
        (GOOD | {"api-version": "2017-09-01"}, "right", 400),
        (GOOD | {"resource": "https://example.com"}, "right", 400),
        (GOOD | {"scope": "x"}, "right", 400),
    ],
)
def test_the_endpoint_is_as_particular_as_app_service(parameters: dict[str, str], header: str, status: int) -> None:
    world, credentials = world_and_credentials()
    value = {"right": credentials.identity_header, "wrong": "guess"}.get(header)

    async def steps(session: ClientSession, port: int) -> int:
        headers = {"X-IDENTITY-HEADER": value} if value else {}
        async with session.get(f"http://localhost:{port}/msi/token", params=parameters, headers=headers) as answer:
            if answer.status == 200:
                assert (await answer.json())["resource"] == parameters["resource"]
            return answer.status

    assert with_session(entra.app(world, credentials), steps) == status


def test_a_token_of_the_past_or_the_future_or_another_sandbox_opens_nothing() -> None:
    world, credentials = world_and_credentials()
    stranger = new_credentials(world)
    hour = timedelta(hours=1)

    def token(source: Credentials, begin: timedelta, end: timedelta) -> str:
        return entra.issue_token(world, source, entra.DPS_AUDIENCE, not_before=NOW + begin, expires=NOW + end)

    good = token(credentials, -hour, hour)
    entra.check_token(world, credentials, carrying(good), entra.DPS_AUDIENCE)
    bad = [
        token(credentials, -2 * hour, -hour),
        token(credentials, hour, 2 * hour),
        token(stranger, -hour, hour),
        good[:-4],
        "",
    ]
    for each in bad:
        with pytest.raises(web.HTTPUnauthorized) as refusal:
            entra.check_token(world, credentials, carrying(each), entra.DPS_AUDIENCE)
        assert refusal.value.headers["WWW-Authenticate"].startswith("Bearer ")
    assert not any(secret in str(world.journal.entries) for secret in world.secrets)
