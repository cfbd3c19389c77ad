"""Resource Manager as Microsoft's own client meets it: long-running changes, ETags, conflicts, tokens."""

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.core.rest import HttpRequest
from azure.mgmt.iothubprovisioningservices.models import (
    CertificateProperties,
    CertificateResponse,
    IotHubDefinitionDescription,
)
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import pki
from sandbox.arm.resources import HUBS_VERSION, WEB_VERSION
from sandbox.arm.state import RESOURCE_GROUP, SITE_NAME, SUBSCRIPTION
from tests.sandbox.resource_manager import HIERARCHY, HUBS, NAMES, Stage, play
from tests.sandbox.support import call

type Steps = Callable[[Stage], Awaitable[None]]


@pytest.fixture
def on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Steps], None]:
    return lambda steps: play(tmp_path, monkeypatch, steps)


def by_identity(host: str, weight: int = 1) -> IotHubDefinitionDescription:
    return IotHubDefinitionDescription(
        location="westeurope", host_name=host, authentication_type="SystemAssigned", allocation_weight=weight
    )


def root(*, verified: bool = True) -> CertificateResponse:
    pem = HIERARCHY.root.certificate.public_bytes(Encoding.PEM)
    return CertificateResponse(properties=CertificateProperties(certificate=pem, is_verified=verified))


def test_a_hub_is_linked_in_a_change_that_takes_its_time(on: Callable[[Steps], None]) -> None:
    async def steps(stage: Stage) -> None:
        before = await stage.client.iot_dps_resource.get(**NAMES)
        assert (before.properties.state, before.properties.iot_hubs) == ("Active", [])
        before.properties.iot_hubs = [by_identity(HUBS[0], 5)]
        begun = await stage.client.iot_dps_resource.begin_create_or_update(**NAMES, iot_dps_description=before)
        during = await stage.client.iot_dps_resource.get(**NAMES)
        assert (during.properties.state, during.properties.service_operations_host_name) == ("Transitioning", None)
        with pytest.raises(ResourceExistsError, match="IotDpsState: Transitioning"):
            await stage.client.iot_dps_resource.begin_create_or_update(**NAMES, iot_dps_description=before)
        after = await begun.result()
        (link,) = after.properties.iot_hubs or []
        assert (link.name, link.host_name, link.allocation_weight) == (HUBS[0], HUBS[0], 5)
        assert (link.authentication_type, link.connection_string) == ("SystemAssigned", "")
        assert list(stage.state.dps.hubs) == [HUBS[0]]
        assert after.etag != before.etag
        with pytest.raises(HttpResponseError, match="ETag does not match") as refused:
            await stage.client.iot_dps_resource.begin_create_or_update(**NAMES, iot_dps_description=before)
        assert refused.value.status_code == 412

    on(steps)


def test_a_link_with_a_key_shows_no_key_and_stays_when_it_comes_back_masked(on: Callable[[Steps], None]) -> None:
    async def steps(stage: Stage) -> None:
        found = await stage.client.iot_dps_resource.get(**NAMES)
        connection = f"HostName={HUBS[0]};SharedAccessKeyName=owner;SharedAccessKey=c2VjcmV0"
        found.properties.iot_hubs = [IotHubDefinitionDescription(location="westeurope", connection_string=connection)]
        done = await (
            await stage.client.iot_dps_resource.begin_create_or_update(**NAMES, iot_dps_description=found)
        ).result()
        (link,) = done.properties.iot_hubs or []
        assert (link.authentication_type, (link.connection_string or "")[-4:]) == ("KeyBased", "****")
        done.properties.iot_hubs = [link, by_identity(HUBS[1])]
        both = await (
            await stage.client.iot_dps_resource.begin_create_or_update(**NAMES, iot_dps_description=done)
        ).result()
        assert [one.authentication_type for one in both.properties.iot_hubs or []] == ["KeyBased", "SystemAssigned"]

    on(steps)


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ([by_identity(HUBS[0]), by_identity(HUBS[0].upper())], "duplicate iot hubs"),
        ([by_identity("stranger.azure-devices.net")], "not the one of an IoT hub"),
        ([IotHubDefinitionDescription(location="westeurope", host_name=HUBS[0])], "connectionString is required"),
    ],
)
def test_a_link_that_cannot_be_is_refused(
    on: Callable[[Steps], None], links: list[IotHubDefinitionDescription], said: str
) -> None:
    async def steps(stage: Stage) -> None:
        found = await stage.client.iot_dps_resource.get(**NAMES)
        found.properties.iot_hubs = links
        with pytest.raises(HttpResponseError, match=said):
            await stage.client.iot_dps_resource.begin_create_or_update(**NAMES, iot_dps_description=found)
        assert stage.state.links == []

    on(steps)


def test_a_dps_without_identity_links_no_hub_by_one(on: Callable[[Steps], None]) -> None:
    async def steps(stage: Stage) -> None:
        stage.state.identity = {"type": "None"}
        found = await stage.client.iot_dps_resource.get(**NAMES)
        found.properties.iot_hubs = [by_identity(HUBS[0])]
        with pytest.raises(HttpResponseError, match="no identity"):
            await stage.client.iot_dps_resource.begin_create_or_update(**NAMES, iot_dps_description=found)

    on(steps)


def test_a_ca_is_uploaded_as_verified_and_replaced_only_under_its_etag(on: Callable[[Steps], None]) -> None:
    async def steps(stage: Stage) -> None:
        certificates = stage.client.dps_certificate
        name: dict[str, Any] = {"certificate_name": "root"}
        made = await certificates.create_or_update(**NAMES, **name, certificate_description=root(verified=False))
        assert made.properties is not None
        assert (made.properties.is_verified, stage.state.dps.verified) == (False, {})
        assert made.properties.thumbprint == HIERARCHY.root.certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303
        with pytest.raises(HttpResponseError) as refused:
            await certificates.create_or_update(**NAMES, **name, certificate_description=root())
        assert refused.value.status_code == 412
        condition: dict[str, Any] = {"etag": made.etag, "match_condition": MatchConditions.IfNotModified}
        again = await certificates.create_or_update(**NAMES, **name, certificate_description=root(), **condition)
        assert again.properties is not None
        assert again.properties.is_verified
        assert stage.state.dps.verified == {"root": HIERARCHY.root.certificate}
        (listed,) = (await certificates.list(**NAMES)).value or []
        assert (listed.name, listed.etag) == ("root", again.etag)
        assert listed.properties is not None
        assert listed.properties.certificate is None
        assert (await certificates.get(**NAMES, **name)).etag == again.etag
        with pytest.raises(ResourceNotFoundError):
            await certificates.get(**NAMES, certificate_name="other")

    on(steps)


def test_only_the_certificate_of_a_ca_is_taken(on: Callable[[Steps], None]) -> None:
    async def steps(stage: Stage) -> None:
        leaf = pki.issue_leaf(HIERARCHY.ica, "dev", HIERARCHY.ica.key.public_key(), stage.world.clock.now())
        for content, said in ((leaf.public_bytes(Encoding.DER), "not the one of a CA"), (b"garbage", "cannot be read")):
            wanted = CertificateResponse(properties=CertificateProperties(certificate=content, is_verified=True))
            with pytest.raises(HttpResponseError, match=said):
                await stage.client.dps_certificate.create_or_update(
                    **NAMES, certificate_name="x", certificate_description=wanted
                )

    on(steps)


def test_hubs_and_the_function_app_are_found_and_keys_once_it_is_deployed(on: Callable[[Steps], None]) -> None:
    async def steps(stage: Stage) -> None:
        async def ask(method: str, path: str) -> tuple[int, object]:
            answer = await stage.client.send_request(HttpRequest(method, f"/subscriptions/{SUBSCRIPTION}{path}"))
            return answer.status_code, answer.json()

        _, hubs = await ask("GET", f"/providers/Microsoft.Devices/IotHubs?api-version={HUBS_VERSION}")
        assert isinstance(hubs, dict)
        assert [one["properties"]["hostName"] for one in hubs["value"]] == list(HUBS)
        site = f"/resourceGroups/{RESOURCE_GROUP}/providers/Microsoft.Web/sites/{SITE_NAME}"
        _, found = await ask("GET", f"{site}?api-version={WEB_VERSION}")
        assert isinstance(found, dict)
        assert found["properties"]["defaultHostName"] == "app.azurewebsites.net"
        keys = f"{site}/functions/allocation/listkeys?api-version={WEB_VERSION}"
        assert (await ask("POST", keys))[0] == 404
        stage.state.site.deployed = True
        assert await ask("POST", keys) == (200, {"default": "the/key=="})
        assert (await ask("GET", f"{site}?api-version=2000-01-01"))[0] == 400
        assert (await ask("GET", site.replace(SITE_NAME, "other") + f"?api-version={WEB_VERSION}"))[0] == 404

    on(steps)


def test_nothing_is_told_without_a_token_for_resource_manager(on: Callable[[Steps], None], tmp_path: Path) -> None:
    async def steps(stage: Stage) -> None:
        trust = ssl.create_default_context(cafile=tmp_path / "tls-root.pem")
        path = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Devices/IotHubs?api-version={HUBS_VERSION}"
        assert (await call("GET", stage.url + path, trust)).status == 401
        stage.fault("throttle", times=1)
        await stage.client.iot_dps_resource.get(**NAMES)  # the client waits and asks again
        stage.fault("forbidden")
        with pytest.raises(HttpResponseError, match="AuthorizationFailed") as refused:
            await stage.client.iot_dps_resource.get(**NAMES)
        assert refused.value.status_code == 403
        with pytest.raises(ResourceNotFoundError):
            await stage.client.iot_dps_resource.get(
                resource_group_name=RESOURCE_GROUP, provisioning_service_name="other"
            )

    on(steps)
