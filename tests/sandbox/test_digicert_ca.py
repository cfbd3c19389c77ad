"""The DigiCert ONE stand-in as a CA: revocation, CRLs, CA Manager."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.world import Fault
from tests.sandbox.digicert_one import CERTIFICATE, DigiCert, code_of, issued, run

CAS = "/certificate-authority/api/v1/ca"


async def crl_of(one: DigiCert, number: int) -> x509.CertificateRevocationList:
    answer = await one.ask("GET", f"/crl/{one.ca.cas[number].id}.crl")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/pkix-crl")
    return x509.load_der_x509_crl(answer.body)


def test_a_revoked_certificate_is_in_the_list_and_on_the_crl_of_its_issuer() -> None:
    async def steps(one: DigiCert) -> None:
        identifier = (await issued(one)).json["certificate_id"]
        empty = await crl_of(one, 1)
        assert len(empty) == 0
        path = f"{CERTIFICATE}/{identifier}/revoke"
        answer = await one.call("PUT", path, json={"reason": "key_compromise", "comments": "stolen"})
        assert (answer.status, answer.body) == (204, b"")
        assert (await one.call("GET", f"{CERTIFICATE}/{identifier}")).json["status"] == "REVOKED"
        crl = await crl_of(one, 1)
        leaf = one.ca.issued[0].certificate
        line = crl.get_revoked_certificate_by_serial_number(leaf.serial_number)
        assert line is not None
        assert line.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise
        assert line.revocation_date_utc == leaf.not_valid_before_utc
        public = one.ca.cas[1].authority.key.public_key()
        assert crl.is_signature_valid(public)
        assert crl.next_update_utc is not None
        assert crl.next_update_utc - crl.last_update_utc == timedelta(hours=24)
        numbers = [each.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for each in (empty, crl)]
        assert numbers[0] < numbers[1]
        assert len(await crl_of(one, 0)) == 0
        (point,) = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        assert point.full_name is not None
        assert point.full_name[0].value == f"https://localhost:9443/crl/{one.ca.cas[1].id}.crl"

    run(steps)


def test_the_crl_is_kept_for_an_hour_and_made_anew_by_the_clock_of_the_world() -> None:
    async def steps(one: DigiCert) -> None:
        first = await crl_of(one, 1)
        assert await crl_of(one, 1) == first
        one.world.clock.offset = timedelta(days=3)
        later = await crl_of(one, 1)
        assert later.last_update_utc - first.last_update_utc >= timedelta(days=3)

    run(steps)


def test_a_crl_that_has_not_changed_is_not_sent_again() -> None:
    async def steps(one: DigiCert) -> None:
        path = f"/crl/{one.ca.cas[1].id}.crl"
        marks = (await one.ask("GET", path)).headers
        same = [{"If-None-Match": marks["Etag"]}, {"If-Modified-Since": marks["Last-Modified"]}]
        for headers in same:
            answer = await one.ask("GET", path, headers=headers)
            assert (answer.status, answer.body, answer.headers["Etag"]) == (304, b"", marks["Etag"])
        other = {"If-None-Match": '"other"', "If-Modified-Since": marks["Last-Modified"]}
        assert (await one.ask("GET", path, headers=other)).status == 200
        await issued(one)
        one.ca.revoke(one.ca.issued[0], "key_compromise")
        assert (await one.ask("GET", path, headers=same[0])).status == 200

    run(steps)


def test_bad_crls_are_served_on_request() -> None:
    async def steps(one: DigiCert) -> None:
        path = f"/crl/{one.ca.cas[1].id}.crl"
        public, now = one.ca.hierarchy.ica.key.public_key(), one.world.clock.now()
        for kind in ("stale_crl", "forged_crl", "old_crl", "cut_crl"):
            one.world.faults.planned.append(Fault("DigiCert ONE", kind))
            der = (await one.ask("GET", path)).body
            if kind == "cut_crl":
                with pytest.raises(ValueError, match=r"."):
                    x509.load_der_x509_crl(der)
                continue
            crl = x509.load_der_x509_crl(der)
            assert crl.next_update_utc is not None
            assert (crl.next_update_utc < now) is (kind == "stale_crl")
            assert crl.is_signature_valid(public) is (kind != "forged_crl")
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            assert (number == 0) is (kind == "old_crl")
        assert (await one.ask("GET", path)).status == 200

    run(steps)


def test_a_certificate_is_found_by_its_serial_number_however_it_is_written() -> None:
    async def steps(one: DigiCert) -> None:
        await issued(one)
        (made,) = one.ca.issued
        text = f"{made.certificate.serial_number:x}"
        for written in (text, text.upper(), f"00{text}", ":".join(text[i : i + 2] for i in range(0, len(text), 2))):
            assert one.ca.by_serial(written) is made
        assert one.ca.by_serial("01") is None

    run(steps)


def test_after_a_roll_each_ca_has_its_own_crl_and_certificate() -> None:
    async def steps(one: DigiCert) -> None:
        await issued(one, "old")
        new_id = one.ca.roll()
        await issued(one, "new")
        for entry in one.ca.issued:
            await one.call("PUT", f"{CERTIFICATE}/{entry.id}/revoke", json={"reason": "unspecified"})
        for number, entry in ((1, one.ca.issued[0]), (2, one.ca.issued[1])):
            assert [line.serial_number for line in await crl_of(one, number)] == [entry.certificate.serial_number]
        answer = await one.ask("GET", f"/cacerts/{new_id}.crt")
        assert x509.load_der_x509_certificate(answer.body) == one.ca.hierarchy.ica.certificate

    run(steps)


def test_revocation_is_particular_about_its_fields() -> None:
    async def steps(one: DigiCert) -> None:
        path = f"{CERTIFICATE}/{(await issued(one)).json['certificate_id']}/revoke"
        bad: list[dict[str, Any]] = [
            {},
            {"reason": "superseded"},
            {"revocation_reason": "key_compromise"},
            {"reason": "unspecified", "revocation_date": "yesterday"},
            {"reason": "unspecified", "revocation_date": "2026-01-02T03:04:05"},
            {"reason": "unspecified", "comments": 1},
        ]
        for body in bad:
            assert code_of(await one.call("PUT", path, json=body)) == (400, "invalid_input")
        unknown = await one.call("PUT", f"{CERTIFICATE}/none/revoke", json={"reason": "unspecified"})
        assert code_of(unknown) == (404, "entity_not_found")
        hold = {"reason": "certificate_hold", "revocation_date": "2020-01-02T03:04:05Z"}
        assert (await one.call("PUT", path, json=hold)).status == 204
        assert [line.revocation_date_utc.year for line in await crl_of(one, 1)] == [2020]
        assert (await one.call("PUT", path, json={"reason": "key_compromise"})).status == 204
        assert code_of(await one.call("PUT", path, json={"reason": "key_compromise"})) == (400, "invalid_input")

    run(steps)


def test_ca_manager_gives_the_hierarchy_as_pem_and_der() -> None:
    async def steps(one: DigiCert) -> None:
        listed = (await one.call("GET", CAS)).json["records"]
        assert [record["id"] for record in listed] == [f"a{'0' * 30}{number}" for number in (1, 2)]
        assert (await one.call("GET", f"{CAS}/{listed[1]['id']}")).json == listed[1]
        ica = one.ca.hierarchy.ica.certificate
        pem = await one.call("GET", f"{CAS}/{listed[1]['id']}/download")
        assert x509.load_pem_x509_certificate(pem.body) == ica
        der = await one.call("GET", f"{CAS}/{listed[1]['id']}/download", headers={"Accept": "application/pkix-cert"})
        assert der.body == ica.public_bytes(Encoding.DER)
        missing = await one.call("GET", f"{CAS}/nothing")
        assert (missing.status, sorted(missing.json)) == (404, ["code", "message"])
        assert (await one.ask("GET", CAS)).status == 401
        assert (await one.call("GET", "/certificate-authority/api/v1/template")).status == 501

    run(steps)
