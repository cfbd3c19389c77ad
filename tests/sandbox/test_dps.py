"""DPS as devices see it: who is let in, by what, to which hub, and what the hub then knows."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox import pki
from sandbox.dps.state import thumbprint
from sandbox.world import Fault
from tests.sandbox.azure import Azure, play
from tests.sandbox.support import Answer, Device, call, new_device


def issued(stage: Azure, name: str = "dev-1", **options: Any) -> Device:  # noqa: ANN401
    """A device with a certificate of the group's issuing CA."""
    return new_device(stage.hierarchy.ica, name, **options)


async def individual(stage: Azure, device: Device, name: str = "dev-1", **settings: object) -> Answer:
    pem = pki.certificate_pem(device.leaf)
    attestation = {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": pem}}}}
    body = {"registrationId": name, "attestation": attestation, "iotHubs": [stage.hub_b.host], **settings}
    return await stage.service("PUT", f"/enrollments/{name}", {"allocationPolicy": "static"} | body)


def test_a_device_of_the_group_is_assigned_and_its_thumbprint_written(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        stage.webhook.answer |= {"initialTwin": {"tags": {"site": "x"}}, "payload": {"hello": 1}}
        device = issued(stage)
        answer = await stage.register(device, "dev-1", payload={"fw": "1.2"})
        state = answer.body["registrationState"]
        assert (answer.status, answer.body["status"]) == (200, "assigned")
        assert (state["assignedHub"], state["deviceId"]) == (stage.hub_a.host, "dev-1")
        assert (state["substatus"], state["payload"]) == ("initialAssignment", {"hello": 1})
        identity = (await stage.registry(stage.hub_a, "GET", "/devices/dev-1")).body
        assert identity["authentication"]["type"] == "selfSigned"
        assert set(identity["authentication"]["x509Thumbprint"].values()) == {thumbprint(device.leaf)}
        assert (await stage.registry(stage.hub_a, "GET", "/twins/dev-1")).body["tags"] == {"site": "x"}
        assert [event["eventType"] for event in stage.events] == ["Microsoft.Devices.DeviceCreated"]
        assert await stage.connect(stage.hub_a, device, "dev-1") == 204

    play(tmp_path, scenario)


def test_the_webhook_is_told_what_dps_tells(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        await stage.register(issued(stage), "dev-1", payload={"fw": "1.2"})
        await stage.register(issued(stage), "dev-1")
        first, second = stage.webhook.asked
        assert first["query"] == {"code": "key"}
        group = first["enrollmentGroup"]
        assert group["attestation"] == {"type": "x509"}
        assert group["customAllocationDefinition"]["webhookUrl"].endswith("/api/allocate?****")
        assert first["linkedHubs"] == [stage.hub_a.host, stage.hub_b.host]
        assert first["deviceRuntimeContext"] == {"registrationId": "dev-1", "x509": {}, "payload": {"fw": "1.2"}}
        context = second["deviceRuntimeContext"]
        assert (context["currentIotHubHostName"], context["currentDeviceId"]) == (stage.hub_a.host, "dev-1")
        assert "payload" not in context

    play(tmp_path, scenario)


def test_a_renewed_certificate_works_at_the_hub_once_the_device_has_registered_again(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        old, new = issued(stage), issued(stage)
        await stage.register(old, "dev-1")
        assert await stage.connect(stage.hub_a, new, "dev-1") == 401
        assert (await stage.register(new, "dev-1")).body["status"] == "assigned"
        assert await stage.connect(stage.hub_a, new, "dev-1") == 204
        assert await stage.connect(stage.hub_a, old, "dev-1") == 401
        assert len(stage.events) == 1  # a registration at the same hub raises no event

    play(tmp_path, scenario)


@pytest.mark.parametrize("sent", ["leaf", "leaf and issuer", "whole chain"])
def test_the_chain_may_be_completed_from_what_dps_holds(tmp_path: Path, sent: str) -> None:
    async def scenario(stage: Azure) -> None:
        ica, root = stage.hierarchy.ica.certificate, stage.hierarchy.root.certificate
        above = {"leaf": (), "leaf and issuer": (ica,), "whole chain": (ica, root)}[sent]
        device = new_device(stage.hierarchy.ica, "dev-1", *above)
        assert (await stage.register(device, "dev-1")).body["status"] == "assigned"

    play(tmp_path, scenario)


def test_who_is_not_let_in(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        long_ago = stage.world.clock.now() - timedelta(days=400)
        other_ica = pki.issuing_ca(stage.hierarchy.root, "another ICA", stage.world.clock.now())
        rogue = pki.rogue_authority(stage.hierarchy.ica)
        refused = {
            "Invalid certificate": [issued(stage, "somebody-else"), issued(stage, now=long_ago)],
            "CA certificate not found.": [
                new_device(pki.factory_authority(), "dev-1"),
                new_device(rogue, "dev-1", rogue.certificate),
                new_device(other_ica, "dev-1"),  # nothing tells DPS of this CA
            ],
            "Signing certificate info did not match chain elements.": [
                new_device(other_ica, "dev-1", other_ica.certificate)
            ],
        }
        for message, devices in refused.items():
            for device in devices:
                answer = await stage.register(device, "dev-1")
                assert (answer.status, answer.body["errorCode"]) == (401, 401002)
                assert answer.body["message"] == message
        stage.state.verified.clear()
        assert (await stage.register(issued(stage), "dev-1")).body["message"] == "Invalid certificate"
        assert stage.webhook.asked == []

    play(tmp_path, scenario)


def test_the_worlds_clock_decides_what_is_expired(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        device = issued(stage)
        assert (await stage.register(device, "DEV-1")).body["status"] == "assigned"
        stage.world.clock.offset = timedelta(days=91)
        assert (await stage.register(device, "dev-1")).status == 401
        assert await stage.connect(stage.hub_a, device, "dev-1") == 401
        assert stage.reasons() == ["the certificate is outside its validity"]

    play(tmp_path, scenario)


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_refusing_webhook_fails_the_registration(tmp_path: Path, status: int) -> None:
    async def scenario(stage: Azure) -> None:
        stage.webhook.status = status
        answer = await stage.register(issued(stage), "dev-1")
        assert (answer.status, answer.body["status"]) == (200, "failed")
        state = answer.body["registrationState"]
        assert state["errorCode"] == 400209
        assert state["errorMessage"] == f"Custom allocation failed with status code: {status}"
        assert stage.hub_a.devices == {}
        stage.webhook.status = 200
        assert (await stage.register(issued(stage), "dev-1")).body["status"] == "assigned"

    play(tmp_path, scenario)


def test_a_webhook_that_answers_nonsense_or_not_at_all_fails_the_registration(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        stage.webhook.answer = {"iotHubHostName": "somewhere.else"}
        answer = await stage.register(issued(stage), "dev-1")
        assert "not one of the linked hubs" in answer.body["registrationState"]["errorMessage"]
        stage.webhook.answer = {"iotHubHostName": stage.hub_a.host, "surprise": 1}
        assert (await stage.register(issued(stage), "dev-1")).body["status"] == "failed"
        stage.state.webhook_timeout = 0.0001
        answer = await stage.register(issued(stage), "dev-1")
        assert "did not answer in time" in answer.body["registrationState"]["errorMessage"]

    play(tmp_path, scenario)


def test_a_device_that_changes_hubs_leaves_the_old_one(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        device = issued(stage)
        await stage.register(device, "dev-1")
        stage.hub_a.write_twin(stage.hub_a.devices["dev-1"], {"kept": True}, None)
        stage.webhook.answer = {"iotHubHostName": stage.hub_b.host, "initialTwin": {"tags": {"kept": False}}}
        state = (await stage.register(device, "dev-1")).body["registrationState"]
        assert (state["assignedHub"], state["substatus"]) == (stage.hub_b.host, "deviceDataMigrated")
        assert stage.hub_a.devices == {}
        assert stage.hub_b.devices["dev-1"].tags == {"kept": True}

    play(tmp_path, scenario)


def test_an_enrollment_of_its_own_decides_before_the_group(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        stranger = new_device(pki.factory_authority(), "dev-1")
        assert (await individual(stage, stranger, deviceId="Device-One")).status == 200
        state = (await stage.register(stranger, "dev-1")).body["registrationState"]
        assert (state["assignedHub"], state["deviceId"]) == (stage.hub_b.host, "Device-One")
        assert (await stage.register(issued(stage), "dev-1")).status == 401
        answer = await stage.service("GET", "/enrollments/DEV-1")
        assert answer.body["registrationState"]["deviceId"] == "Device-One"

    play(tmp_path, scenario)


def test_a_disabled_enrollment_blocks_a_device_of_the_group(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        device = issued(stage)
        body = {
            "registrationId": "dev-1",
            "attestation": {"type": "symmetricKey"},
            "provisioningStatus": "disabled",
        }
        blocked = await stage.service("PUT", "/enrollments/dev-1", body)
        assert (blocked.status, blocked.body["attestation"]) == (200, {"type": "symmetricKey"})
        answer = await stage.register(device, "dev-1")
        assert (answer.status, answer.body["status"]) == (200, "disabled")
        assert stage.webhook.asked == []
        await stage.service("DELETE", "/enrollments/dev-1")
        assert (await stage.register(device, "dev-1")).body["status"] == "assigned"

    play(tmp_path, scenario)


def test_a_disabled_group_blocks_everybody(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        group = (await stage.service("GET", "/enrollmentGroups/birthcert")).body
        await stage.service("PUT", "/enrollmentGroups/birthcert", group | {"provisioningStatus": "disabled"})
        assert (await stage.register(issued(stage), "dev-1")).body["status"] == "disabled"

    play(tmp_path, scenario)


def test_only_the_registering_device_may_poll_and_look_up(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        device, other = issued(stage), issued(stage)
        url = f"https://{stage.dps}/{stage.state.id_scope}/registrations/dev-1"
        version, body = "api-version=2021-10-01", {"registrationId": "dev-1"}
        assert (await call("POST", f"{url}?{version}", stage.context(device), json=body)).body["errorCode"] == 404201
        begun = await call("PUT", f"{url}/register?{version}", stage.context(device), json=body)
        assert begun.headers["Retry-After"] == "0"
        operation = f"{url}/operations/{begun.body['operationId']}?{version}"
        assert begun.headers["Location"] == operation
        assert (await call("GET", operation, stage.context(other))).status == 401
        assert (await call("GET", operation, stage.context())).status == 401
        found = await call("POST", f"{url}?{version}", stage.context(device), json=body)
        assert found.body["registrationId"] == "dev-1"
        assert (await call("PUT", f"{url}/register?{version}", stage.context(), json=body)).body["errorCode"] == 401000
        assert (await call("PUT", f"{url}/register?{version}", stage.context(device), json={"x": 1})).status == 400
        assert (await call("PUT", f"{url}/register?api-version=1", stage.context(device), json=body)).status == 400

    play(tmp_path, scenario)


def test_a_throttled_registration_is_told_in_the_words_of_dps(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        stage.world.faults.planned.append(Fault("DPS", "throttle", path="/register"))
        answer = await stage.register(issued(stage), "dev-1")
        assert (answer.status, answer.body["errorCode"], answer.headers["Retry-After"]) == (429, 429001, "1")
        stage.world.faults.planned.append(Fault("DPS", "wrong_key"))
        assert (await stage.register(issued(stage), "dev-1")).status == 501

    play(tmp_path, scenario)
