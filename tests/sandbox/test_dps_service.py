"""DPS as services see it: enrollments, groups and registrations over REST."""

from pathlib import Path
from typing import Any

from sandbox import pki
from sandbox.dps.state import thumbprint
from tests.sandbox.azure import Azure, play
from tests.sandbox.support import call, new_device


def enrollment(name: str, **slots: object) -> dict[str, Any]:
    return {
        "registrationId": name,
        "attestation": {"type": "x509", "x509": {"clientCertificates": slots}},
        "allocationPolicy": "hashed",
    }


def certificate(stage: Azure, name: str = "dev-1") -> dict[str, str]:
    return {"certificate": pki.certificate_pem(new_device(stage.hierarchy.ica, name).leaf)}


def test_certificates_go_in_and_only_their_info_comes_out(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        device = new_device(stage.hierarchy.ica, "dev-1")
        body = enrollment("dev-1", primary={"certificate": pki.certificate_pem(device.leaf)})
        put = await stage.service("PUT", "/enrollments/dev-1", body)
        assert put.status == 200
        slot = put.body["attestation"]["x509"]["clientCertificates"]["primary"]
        assert slot.keys() == {"info"}
        assert slot["info"]["sha256Thumbprint"] == thumbprint(device.leaf)
        assert slot["info"]["subjectName"] == "CN=dev-1"
        assert put.body["etag"].startswith('"')
        assert put.body["reprovisionPolicy"] == {"updateHubAssignment": True, "migrateDeviceData": True}
        assert (await stage.service("GET", "/enrollments/dev-1")).body == put.body
        group = (await stage.service("GET", "/enrollmentGroups/birthcert")).body
        assert "BEGIN CERTIFICATE" not in str(group)

    play(tmp_path, scenario)


def test_an_untouched_slot_is_kept_by_its_info(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        put = await stage.service("PUT", "/enrollments/dev-1", enrollment("dev-1", primary=certificate(stage)))
        stored = put.body
        slots = stored["attestation"]["x509"]["clientCertificates"]
        first = slots["primary"]
        slots["secondary"] = certificate(stage)
        put = await stage.service("PUT", "/enrollments/dev-1", stored, If_Match=stored["etag"])
        assert put.body["attestation"]["x509"]["clientCertificates"]["primary"] == first
        assert put.body["attestation"]["x509"]["clientCertificates"]["secondary"].keys() == {"info"}
        assert put.body["createdDateTimeUtc"] == stored["createdDateTimeUtc"]
        swapped = enrollment("dev-1", primary=put.body["attestation"]["x509"]["clientCertificates"]["secondary"])
        assert (await stage.service("PUT", "/enrollments/dev-1", swapped)).status == 400

    play(tmp_path, scenario)


def test_etags_guard_writes(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        body = enrollment("dev-1", primary=certificate(stage))
        assert (await stage.service("PUT", "/enrollments/dev-1", body, If_Match="*")).status == 412
        etag = (await stage.service("PUT", "/enrollments/dev-1", body)).body["etag"]
        assert (await stage.service("PUT", "/enrollments/dev-1", body, If_Match=etag)).status == 200
        stale = await stage.service("PUT", "/enrollments/dev-1", body, If_Match=etag)
        assert (stale.status, stale.body["errorCode"]) == (412, 412001)
        assert (await stage.service("DELETE", "/enrollments/dev-1", If_Match=etag)).status == 412
        assert (await stage.service("DELETE", "/enrollments/dev-1", If_Match="*")).status == 204
        missing = await stage.service("GET", "/enrollments/dev-1")
        assert (missing.status, missing.body["errorCode"]) == (404, 404201)
        assert missing.headers["x-ms-error-code"] == "404201"
        assert missing.body.keys() == {"errorCode", "trackingId", "message", "info", "timestampUtc"}

    play(tmp_path, scenario)


def bad_bodies(stage: Azure) -> dict[str, dict[str, Any]]:
    good = enrollment("dev-1", primary=certificate(stage))
    leaf = certificate(stage)
    signing = {"type": "x509", "x509": {"signingCertificates": {"primary": leaf}}}
    return {
        "an unknown member": good | {"surprise": 1},
        "another id": good | {"registrationId": "dev-2"},
        "no attestation": good | {"attestation": None},
        "a signing certificate": good | {"attestation": signing},
        "no certificate": enrollment("dev-1"),
        "half a certificate": enrollment("dev-1", primary={"certificate": leaf["certificate"][:200]}),
        "an info of nothing": enrollment("dev-1", primary={"info": {"sha256Thumbprint": "AB"}}),
        "a hub that is not linked": good | {"iotHubs": ["other"]},
        "custom without a webhook": good | {"allocationPolicy": "custom"},
        "static without a hub": good | {"allocationPolicy": "static"},
        "a misspelt status": good | {"provisioningStatus": "Disabled"},
        "a policy of another kind": good | {"reprovisionPolicy": {"never": True}},
    }


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        for what, body in bad_bodies(stage).items():
            answer = await stage.service("PUT", "/enrollments/dev-1", body)
            assert (answer.status, answer.body["errorCode"]) == (400, 400001), what
        leaf = certificate(stage)
        group = {
            "enrollmentGroupId": "g",
            "attestation": {"type": "x509", "x509": {"signingCertificates": {"primary": leaf}}},
        }
        assert "CA's" in (await stage.service("PUT", "/enrollmentGroups/g", group)).body["message"]

    play(tmp_path, scenario)


def test_a_group_may_name_a_verified_ca(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        await stage.service("DELETE", "/enrollmentGroups/birthcert")
        attestation = {"type": "x509", "x509": {"caReferences": {"primary": "root", "secondary": None}}}
        body: dict[str, Any] = {"enrollmentGroupId": "by-root", "attestation": attestation}
        assert (await stage.service("PUT", "/enrollmentGroups/by-root", body)).status == 200
        device = new_device(stage.hierarchy.ica, "dev-1", stage.hierarchy.ica.certificate)
        assert (await stage.register(device, "dev-1")).body["status"] == "assigned"
        attestation["x509"] = {"caReferences": {"primary": "no such"}}
        assert (await stage.service("PUT", "/enrollmentGroups/by-root", body)).status == 400

    play(tmp_path, scenario)


def test_queries_come_in_pages(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        for number in range(5):
            name = f"dev-{number}"
            await stage.service("PUT", f"/enrollments/{name}", enrollment(name, primary=certificate(stage, name)))
        found: list[str] = []
        headers = {"x_ms_max_item_count": "2"}
        for _ in range(3):
            page = await stage.service("POST", "/enrollments/query", {"query": "SELECT * FROM enrollments"}, **headers)
            found += [item["registrationId"] for item in page.body]
            assert page.headers["x-ms-item-type"] == "Enrollment"
            headers["x_ms_continuation"] = page.headers.get("x-ms-continuation", "")
        assert found == [f"dev-{number}" for number in range(5)]
        assert "x-ms-continuation" not in page.headers
        where = {"query": "SELECT * FROM enrollments WHERE x = 1"}
        assert (await stage.service("POST", "/enrollments/query", where)).status == 400

    play(tmp_path, scenario)


def test_registrations_of_a_group_outlive_it(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        await stage.register(new_device(stage.hierarchy.ica, "dev-1"), "dev-1")
        await stage.service("DELETE", "/enrollmentGroups/birthcert")
        states = await stage.service("POST", "/registrations/birthcert/query")
        assert [state["registrationId"] for state in states.body] == ["dev-1"]
        state = await stage.service("GET", "/registrations/DEV-1")
        assert (state.body["status"], state.body["assignedHub"]) == ("assigned", stage.hub_a.host)
        assert (await stage.service("DELETE", "/registrations/dev-1", If_Match='"stale"')).status == 412
        assert (await stage.service("DELETE", "/registrations/dev-1", If_Match=state.body["etag"])).status == 204
        assert (await stage.service("POST", "/registrations/birthcert/query")).status == 404

    play(tmp_path, scenario)


def test_bulk_operations_report_each_failure_under_one_200(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        items = [enrollment(f"dev-{n}", primary=certificate(stage, f"dev-{n}")) for n in range(3)]
        made = await stage.service("POST", "/enrollments", {"mode": "create", "enrollments": items[:2]})
        assert made.body == {"isSuccessful": True, "errors": []}
        again = await stage.service("POST", "/enrollments", {"mode": "create", "enrollments": items})
        assert (again.status, again.body["isSuccessful"]) == (200, False)
        assert again.body["errors"] == [
            {"registrationId": f"dev-{n}", "errorCode": 409001, "errorStatus": "Conflict"} for n in range(2)
        ]
        many = {"mode": "delete", "enrollments": items * 4}
        assert (await stage.service("POST", "/enrollments", many)).status == 400

    play(tmp_path, scenario)


def test_keys_are_told_only_by_their_own_call(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        body = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}}
        assert "Key" not in (await stage.service("PUT", "/enrollments/dev-1", body)).body["attestation"]
        told = await stage.service("POST", "/enrollments/dev-1/attestationmechanism")
        assert set(told.body["symmetricKey"].values()) <= set(stage.world.secrets)

    play(tmp_path, scenario)


def test_tokens_and_versions_are_checked(tmp_path: Path) -> None:
    async def scenario(stage: Azure) -> None:
        url = f"https://{stage.dps}/enrollmentGroups/birthcert"
        assert (await call("GET", f"{url}?api-version=2021-10-01", stage.context())).status == 401
        wrong = {"Authorization": f"Bearer {stage.token('https://iothubs.azure.net')}"}
        assert (await call("GET", f"{url}?api-version=2021-10-01", stage.context(), headers=wrong)).status == 401
        good = {"Authorization": f"Bearer {stage.token('https://azure-devices-provisioning.net')}"}
        assert (await call("GET", f"{url}?api-version=2014-01-01", stage.context(), headers=good)).status == 400
        assert (await call("GET", f"{url}?api-version=2021-10-01", stage.context(), headers=good)).status == 200
        assert (await call("PATCH", f"{url}?api-version=2021-10-01", stage.context(), headers=good)).status == 501

    play(tmp_path, scenario)
