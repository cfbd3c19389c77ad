"""REST of the DigiCert ONE stand-in: certificates are issued, renewed and listed."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from sandbox.digicert import EST_PROFILE, REST_PROFILE
from tests.sandbox.digicert_one import (
    CERTIFICATE,
    DigiCert,
    body_for,
    code_of,
    csr_for,
    csr_pem,
    issued,
    new_key,
    run,
    spki,
)
from tests.sandbox.serving import client_chain

BEGIN = "-----BEGIN CERTIFICATE REQUEST-----"


def test_issue_answers_with_the_chain_leaf_first() -> None:
    async def steps(one: DigiCert) -> None:
        key = new_key()
        more = {
            "certificate_profile_attributes": [{"id": "subject.common_name", "value": "dev-1"}],
            "device_attributes": [{"id": "DEVICE_IDENTIFIER", "value": "dev-1"}],
        }
        answer = await one.call("POST", CERTIFICATE, json=body_for("dev-1", key, **more))
        fields = {"certificate_request_id", "status", "result", "certificate_id", "pem"}
        assert (answer.status, set(answer.json)) == (200, fields)
        leaf, ica, root = x509.load_pem_x509_certificates(answer.json["pem"].encode())
        assert spki(leaf) == spki(csr_for("x", key))
        leaf.verify_directly_issued_by(ica)
        ica.verify_directly_issued_by(root)
        got = await one.call("GET", f"{CERTIFICATE}/{answer.json['certificate_id']}")
        assert got.json["pem"] == answer.json["pem"]
        assert (got.json["device_identifier"], got.json["enrollment_profile_id"]) == ("dev-1", REST_PROFILE)

    run(steps)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"extra": 1}, (400, "invalid_input")),
        ({"csr": None}, (400, "invalid_input")),
        (
            {"csr": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"},
            (400, "invalid_input"),
        ),
        ({"enrollment_profile_id": EST_PROFILE}, (400, "invalid_input")),
        ({"enrollment_profile_id": "IOT_nothing"}, (404, "entity_not_found")),
        ({"certificate_profile_attributes": [{"id": "subject.common_name", "value": "x"}]}, (400, "invalid_input")),
        ({"certificate_profile_attributes": [{"id": "san.dns_name", "value": "x"}]}, (400, "invalid_input")),
        ({"device_attributes": "DEVICE_IDENTIFIER"}, (400, "invalid_input")),
        ({"device_attributes": [{"id": ["a"], "value": "x"}]}, (400, "invalid_input")),
    ],
)
def test_issue_refuses_what_it_does_not_know(change: dict[str, Any], expected: tuple[int, str]) -> None:
    async def steps(one: DigiCert) -> None:
        answer = await one.call("POST", CERTIFICATE, json=body_for("dev-1") | change)
        assert code_of(answer) == expected
        assert one.ca.issued == []

    run(steps)


def test_who_may_issue() -> None:
    async def steps(one: DigiCert) -> None:
        key = {"x-api-key": one.credentials.digicert_api_key}
        code = {"x-passcode": one.credentials.digicert_passcode}
        certificate = client_chain(one.credentials.digicert_client_certificate)

        async def post(headers: dict[str, str], host: str = "localhost") -> int:
            return (await one.ask("POST", CERTIFICATE, json=body_for("d"), headers=headers, host=host)).status

        assert [await post(key), await post(code), await post(certificate, "127.0.0.1")] == [200, 200, 200]
        assert [await post({}), await post({"x-api-key": "x"}), await post({"x-passcode": "x"})] == [401, 401, 401]
        assert [await post(certificate), await post(key, "127.0.0.1"), await post(key | code)] == [401, 400, 400]
        assert await post(key | certificate, "127.0.0.1") == 400
        assert (await one.ask("GET", f"{CERTIFICATE}/", headers=code)).status == 401
        assert (await one.ask("GET", f"{CERTIFICATE}/")).json["error"]["code"] == "invalid_api_key"

    run(steps)


def test_renewal_waits_for_its_window() -> None:
    async def steps(one: DigiCert) -> None:
        first = (await issued(one)).json["certificate_id"]
        path = f"{CERTIFICATE}/{first}/renew"
        renewal = {"csr": csr_pem(csr_for("dev-1"))}
        assert code_of(await one.call("PUT", path, json=renewal)) == (400, "renewal_window")
        one.world.clock.offset = timedelta(days=62)
        assert code_of(await one.call("PUT", path, json=renewal)) == (400, "renewal_window")
        one.world.clock.offset = timedelta(days=64)
        answer = await one.call("PUT", path, json=renewal)
        assert answer.status == 200
        assert answer.json["certificate_id"] != first
        one.world.clock.offset = timedelta()
        one.ca.renew_any_time = True
        assert (await one.call("PUT", path, json=renewal)).status == 200
        revoked = one.ca.issued[-1]
        one.ca.revoke(revoked, "key_compromise")
        other = f"{CERTIFICATE}/{revoked.id}/renew"
        assert code_of(await one.call("PUT", other, json=renewal)) == (400, "invalid_input")
        assert code_of(await one.call("PUT", path, json={"csr": csr_pem(csr_for("dev-2"))})) == (400, "invalid_input")
        assert code_of(await one.call("PUT", path, json=body_for("dev-1"))) == (400, "invalid_input")
        assert code_of(await one.call("PUT", f"{CERTIFICATE}/x/renew", json=renewal)) == (404, "entity_not_found")

    run(steps)


def test_a_certificate_of_the_est_profile_is_listed_but_not_renewed_over_rest() -> None:
    async def steps(one: DigiCert) -> None:
        one.ca.renew_any_time = True
        await one.enroll(csr_for("dev-1"))
        listed = (await one.call("GET", f"{CERTIFICATE}/?common_name=dev-1&enrollment_profile_id={EST_PROFILE}")).json
        assert [record["status"] for record in listed["records"]] == ["ISSUED"]
        path = f"{CERTIFICATE}/{listed['records'][0]['id']}/renew"
        assert code_of(await one.call("PUT", path, json={"csr": csr_pem(csr_for("dev-1"))})) == (400, "invalid_input")

    run(steps)


def test_the_list_filters_and_pages() -> None:
    async def steps(one: DigiCert) -> None:
        for number in range(25):
            await issued(one, f"dev-{number}")
        await one.enroll(csr_for("dev-3"))

        async def names(query: str) -> list[str]:
            answer = (await one.call("GET", f"{CERTIFICATE}/?{query}")).json
            return [record["common_name"] for record in answer["records"]]

        page = (await one.call("GET", f"{CERTIFICATE}/")).json
        assert (page["limit"], page["offset"], page["total"], len(page["records"])) == (20, 0, 26, 20)
        assert len(await names("offset=20")) == 6
        assert set(await names("limit=20") + await names("limit=20&offset=20")) == {f"dev-{n}" for n in range(25)}
        assert await names("common_name=dev-3") == ["dev-3", "dev-3"]
        assert await names("common_name=dev-3&enrollment_method=API") == ["dev-3"]
        assert await names(f"enrollment_profile_id={EST_PROFILE}") == ["dev-3"]
        assert await names("common_name=nobody") == []
        assert await names("certificate_type=x509&status=REVOKED") == []
        one.world.clock.offset = timedelta(days=100)
        assert len(await names("status=EXPIRED&limit=100")) == 26
        for query in ("serial_number=1", "limit=0", "limit=x", "offset=-1"):
            assert (await one.call("GET", f"{CERTIFICATE}/?{query}")).status == 400

    run(steps)


def test_planned_misbehaviour() -> None:
    async def steps(one: DigiCert) -> None:
        one.plan("no_pem")
        answer = await issued(one)
        assert answer.status == 200
        assert "pem" not in answer.json
        one.plan("wrong_key")
        (leaf, *_) = x509.load_pem_x509_certificates((await issued(one)).json["pem"].encode())
        assert spki(leaf) != spki(one.ca.issued[0].certificate)
        one.plan("other_issuer")
        leaf, ica, _ = x509.load_pem_x509_certificates((await issued(one)).json["pem"].encode())
        assert leaf.issuer == ica.subject
        assert leaf.serial_number not in {entry.certificate.serial_number for entry in one.ca.issued}
        before = len(one.ca.issued)
        for kind, status in (("error_shape_2", 400), ("two_certificates", 501)):
            one.plan(kind)
            assert (await issued(one)).status == status
        one.plan("error_shape_3", path="/certificate/")
        assert (await one.call("GET", f"{CERTIFICATE}/")).status == 400
        one.plan("garbage", path="/revoke")
        path = f"{CERTIFICATE}/{one.ca.issued[0].id}/revoke"
        assert (await one.call("PUT", path, json={"reason": "unspecified"})).headers["Content-Type"][:9] == "text/html"
        assert one.ca.revocations == 0
        assert len(one.ca.issued) == before

    run(steps)
