"""IoT Hub: the registry through Microsoft's own SDK, and what the SDK hides through plain calls."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, QuerySpecification, Twin
from cryptography.hazmat.primitives import hashes
from msrest.exceptions import HttpOperationError

from sandbox import pki
from sandbox.dps.state import thumbprint
from sandbox.entra import IOT_HUB_AUDIENCE
from sandbox.iot_hub.query import QueryError, compile_query
from sandbox.iot_hub.state import Hub, new_identity, self_signed
from sandbox.world import Fault
from tests.sandbox.azure import Azure, play
from tests.sandbox.support import new_device

OLD, NEW = "A" * 64, "b" * 40


class Credential:
    """What azure-identity would be: a token for any scope."""

    def __init__(self, stage: Azure) -> None:
        self.stage = stage

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        assert scopes == ("https://iothubs.azure.net/.default",)
        return AccessToken(self.stage.token(IOT_HUB_AUDIENCE), 2**33)


def manager(stage: Azure, hub: Hub) -> Any:  # noqa: ANN401 - the SDK ships no types
    sdk = IoTHubRegistryManager.from_token_credential(hub.host, Credential(stage))
    root = stage.folder / "root.pem"
    root.write_text(pki.certificate_pem(stage.tls.root.certificate))
    sdk.protocol.config.connection.verify = str(root)
    return sdk


def test_the_sdk_creates_replaces_and_deletes(tmp_path: Path) -> None:
    def with_sdk(stage: Azure) -> None:
        sdk = manager(stage, stage.hub_a)
        made = sdk.create_device_with_x509("dev-1", OLD, NEW, "enabled")
        assert made.authentication.type == "selfSigned"
        assert (made.authentication.x509_thumbprint.primary_thumbprint, made.status) == (OLD, "enabled")
        with pytest.raises(HttpOperationError) as conflict:
            sdk.create_device_with_x509("dev-1", OLD, NEW, "enabled")
        assert conflict.value.response.status_code == 409
        updated = sdk.update_device_with_x509("dev-1", made.etag, NEW, None, "disabled", status_reason="blocked")
        assert (updated.status, updated.status_reason, updated.generation_id) == (
            "disabled",
            "blocked",
            made.generation_id,
        )
        assert updated.authentication.x509_thumbprint.secondary_thumbprint is None
        with pytest.raises(HttpOperationError) as stale:
            sdk.update_device_with_x509("dev-1", made.etag, OLD, None, "enabled")
        assert stale.value.response.status_code == 412
        assert [device.device_id for device in sdk.get_devices(10)] == ["dev-1"]
        assert manager(stage, stage.hub_b).get_devices(10) == []
        device = sdk.get_device("dev-1")
        device.status = "enabled"
        sdk.protocol.devices.create_or_update_identity("dev-1", device, f'"{device.etag}"')
        assert sdk.get_device("dev-1").status == "enabled"
        sdk.delete_device("dev-1")
        with pytest.raises(HttpOperationError) as gone:
            sdk.get_device("dev-1")
        assert gone.value.response.headers["iothub-errorcode"] == "DeviceNotFound"

    async def scenario(stage: Azure) -> None:
        await asyncio.to_thread(with_sdk, stage)
        kinds = [event["eventType"].removeprefix("Microsoft.Devices.") for event in stage.events]
        assert kinds == ["DeviceCreated", "DeviceDeleted"]  # no event tells of an update
        twin = stage.events[0]["data"]["twin"]
        assert (twin["authenticationType"], twin["deviceEtag"]) == ("sas", "null")  # the default, not the truth

    play(tmp_path, scenario)


def test_the_sdk_reads_writes_and_queries_twins(tmp_path: Path) -> None:
    def with_sdk(stage: Azure) -> None:
        sdk = manager(stage, stage.hub_a)
        for name in ("dev-1", "dev-2", "dev-3"):
            sdk.create_device_with_x509(name, OLD, None, "enabled")
        tags = {"certificate": {"serial": "01", "profile": "est"}}
        twin = sdk.update_twin("dev-1", Twin(tags=tags))
        assert twin.tags == tags
        patched = sdk.update_twin("dev-1", Twin(tags={"certificate": {"serial": None, "level": 2}}), twin.etag)
        assert patched.tags == {"certificate": {"profile": "est", "level": 2}}
        with pytest.raises(HttpOperationError) as stale:
            sdk.update_twin("dev-1", Twin(tags={}), twin.etag)
        assert stale.value.response.status_code == 412
        replaced = sdk.replace_twin("dev-1", Twin(tags={"only": "this"}))
        assert replaced.tags == {"only": "this"}
        query = QuerySpecification(query="SELECT * FROM devices WHERE tags.only = 'this' AND status = 'enabled'")
        assert [item.device_id for item in sdk.query_iot_hub(query, None, 10).items] == ["dev-1"]
        everything = QuerySpecification(query="SELECT * FROM devices")
        first = sdk.query_iot_hub(everything, None, 2)
        rest = sdk.query_iot_hub(everything, first.continuation_token, 2)
        assert [item.device_id for item in first.items + rest.items] == ["dev-1", "dev-2", "dev-3"]
        method = CloudToDeviceMethod(method_name="renew", payload={}, response_timeout_in_seconds=30)
        with pytest.raises(HttpOperationError) as offline:
            sdk.invoke_device_method("dev-1", method)
        assert (offline.value.response.status_code, "404103" in offline.value.response.text) == (404, True)

    async def scenario(stage: Azure) -> None:
        await asyncio.to_thread(with_sdk, stage)

    play(tmp_path, scenario)


async def put(stage: Azure, hub: Hub, **members: object) -> int:
    body = {"deviceId": "dev-1", "authentication": {"type": "selfSigned"}, **members}
    return (await stage.registry(hub, "PUT", "/devices/dev-1", body, If_Match="*")).status


def test_a_put_replaces_everything_and_takes_nothing_strange(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        slots = {"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": OLD}}
        assert await put(stage, stage.hub_a, authentication=slots) == 404
        body: dict[str, Any] = {"deviceId": "dev-1", "authentication": slots, "status": "disabled", "statusReason": "x"}
        assert (await stage.registry(stage.hub_a, "PUT", "/devices/dev-1", body)).status == 200
        assert await put(stage, stage.hub_a, authentication=slots) == 200
        identity = (await stage.registry(stage.hub_a, "GET", "/devices/dev-1")).body
        assert (identity["status"], identity["statusReason"]) == ("enabled", None)
        short = {"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": "AB"}}
        assert await put(stage, stage.hub_a, authentication=short) == 400
        assert await put(stage, stage.hub_a, authentication={"type": "selfSigned"}) == 400
        assert await put(stage, stage.hub_a, authentication=slots, surprise=1) == 400
        assert await put(stage, stage.hub_a, authentication=slots, status="off") == 400
        unquoted = await stage.registry(stage.hub_a, "PUT", "/devices/dev-1", body, If_Match=identity["etag"])
        assert unquoted.status == 400
        assert (await stage.registry(stage.hub_a, "DELETE", "/devices/dev-1")).status == 400
        strange: list[dict[str, Any]] = [
            {"tags": {"a.b": 1}},
            {"tags": {"$x": 1}},
            {"tags": {"big": {"x": "y" * 5000}}},
            {"properties": {"reported": {"x": 1}}},
            {"surprise": 1},
        ]
        for twin in strange:
            assert (await stage.registry(stage.hub_a, "PATCH", "/twins/dev-1", twin)).status == 400, twin

    play(tmp_path, scenario)


def test_a_device_is_let_in_by_either_thumbprint_until_it_is_disabled(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        old, new = new_device(stage.hierarchy.ica, "dev-1"), new_device(pki.factory_authority(), "anything")
        sha1 = new.leaf.fingerprint(hashes.SHA1()).hex()  # noqa: S303
        hub = stage.hub_a
        device = hub.create("dev-1", new_identity(self_signed(thumbprint(old.leaf), sha1)))
        assert [await stage.connect(hub, each, "dev-1") for each in (old, new)] == [204, 204]
        assert await stage.connect(stage.hub_b, old, "dev-1") == 401
        assert await stage.connect(hub, new_device(stage.hierarchy.ica, "dev-1"), "dev-1") == 401
        hub.replace(device, device.identity | {"status": "disabled"})
        assert await stage.connect(hub, old, "dev-1") == 403
        assert stage.reasons() == [
            "unknown device",
            "the certificate's thumbprint is in neither slot",
            "the identity is disabled",
        ]
        hub.replace(device, new_identity(self_signed(None, None) | {"type": "certificateAuthority"}))
        assert await stage.connect(hub, old, "dev-1") == 401

    play(tmp_path, scenario)


def test_throttling_and_unknown_paths_are_loud(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        stage.world.faults.planned.append(Fault("IoT Hub", "throttle", "PATCH"))
        answer = await stage.registry(stage.hub_a, "PATCH", "/twins/dev-1", {"tags": {}})
        assert (answer.status, answer.headers["iothub-errorcode"]) == (429, "ThrottlingException")
        assert (await stage.registry(stage.hub_a, "GET", "/jobs/v2/query")).status == 501

    play(tmp_path, scenario)


TWIN = {
    "deviceId": "dev-1",
    "status": "enabled",
    "tags": {"certificate": {"serial": "01", "level": 2, "ok": True}},
    "properties": {"desired": {}, "reported": {"fw": "1.2"}},
}


@pytest.mark.parametrize(
    ("condition", "selected"),
    [
        ("tags.certificate.serial = '01'", True),
        ("tags.certificate.level >= 2 AND tags.certificate.level < 3", True),
        ("tags.certificate.level = '2'", False),
        ("tags.certificate.ok = 1", False),
        ("tags.certificate.ok = true", True),
        ("tags.missing != 'x'", False),
        ("NOT IS_DEFINED(tags.missing) AND is_defined(properties.reported.fw)", True),
        ("deviceId IN ['dev-2', 'dev-1']", True),
        ("status = 'disabled' OR (deviceId = 'dev-1' and STARTSWITH(properties.reported.fw, '1.'))", True),
    ],
)
def test_queries_select(condition: str, *, selected: bool) -> None:
    query = "select * from devices where " + condition  # noqa: S608 - the language under test
    assert compile_query(query)(TWIN) is selected


@pytest.mark.parametrize(
    "query",
    [
        "",
        "SELECT deviceId FROM devices",
        "SELECT * FROM devices.modules",
        "SELECT * FROM devices ORDER BY deviceId",
        "SELECT * FROM devices WHERE",
        "SELECT * FROM devices WHERE surprise = 1",
        "SELECT * FROM devices WHERE status",
        "SELECT * FROM devices WHERE status = 'x' status",
        "SELECT * FROM devices WHERE (status = 'x'",
        'SELECT * FROM devices WHERE status = "x"',
        "SELECT * FROM devices WHERE status IN []",
        "SELECT * FROM devices WHERE ARRAY_CONTAINS(tags.x, 1)",
    ],
)
def test_other_queries_are_refused(query: str) -> None:
    with pytest.raises(QueryError):
        compile_query(query)
