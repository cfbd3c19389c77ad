"""A factory's files over the edge: each row ends with its certificate or a reason, and the devices are let in."""

import io
import zipfile

import pytest
from cryptography import x509

from sandbox import device
from tests.e2e.est import Site, eventually
from tests.e2e.factories import Factory, encoded, json_lines, line, table
from tests.e2e.living import register
from tests.e2e.operators import Operator, problem, read

ORDER = "/iot/api/v1/certificate"


@pytest.fixture
def factory(operator: Operator) -> Factory:
    return Factory(operator)


def test_a_table_of_sixty_rows_with_broken_ones_among_them(factory: Factory, site: Site) -> None:
    made = line("table", 55)
    good = made.rows
    first = good[0][0]
    broken = {
        3: ("table-x", "bm8gcmVxdWVzdA=="),
        17: (first, encoded("table-somebody-else", device.new_key("ec-p256"))),
        29: ("not a device", good[1][1]),
        40: (first, encoded(first, device.new_key("ec-p256"))),
        60: ("", good[2][1]),
    }
    rows = list(good)
    for number, row in broken.items():
        rows.insert(number - 1, row)
    ident = factory.begin(table(rows))
    batch = factory.ended(ident)
    assert (batch["state"], batch["rows"], batch["share"]) == ("done", 60, 1.0)
    assert batch["outcomes"] == {"issued": 55, "already_issued": 0, "pending": 0, "refused": 5}
    found = factory.results(ident)
    assert [one["row"] for one in found] == list(range(1, 61))
    assert {one["row"] for one in found if one["outcome"] == "refused"} == set(broken)
    assert "row 1 already" in found[39]["reason"]
    assert len(made.has(found)) == 55
    assert len(site.issued(name=first)) == 1

    archive = factory.operator.send("GET", f"/api/batches/{ident}/results?format=zip")
    with zipfile.ZipFile(io.BytesIO(archive.body)) as files:
        assert files.testzip() is None
        assert len([name for name in files.namelist() if name.startswith("certificates/")]) == 55
        chain = x509.load_pem_x509_certificates(files.read("chain.pem"))
    identity = made.has(found, chain)[first]
    registration = register(site, identity)
    assert registration.status == "assigned", registration
    assert device.connect(registration.hub, site.sandbox.tls_root, identity, first)[0]
    assert eventually(lambda: factory.operator.device(first)["hub"])
    assert [one["source"] for one in factory.operator.device(first)["certificates"]] == ["batch"]


def test_the_same_file_again_is_the_same_batch_and_under_another_key_issues_nothing(factory: Factory) -> None:
    body = table(line("again", 5).rows)
    ident = read(factory.upload(body, key="again-1"))["id"]
    factory.ended(ident)
    assert read(factory.upload(body, key="again-1"))["id"] == ident
    assert problem(factory.upload(table(line("other", 1).rows), key="again-1"))[0] == 409
    other = factory.begin(body)
    assert factory.ended(other)["outcomes"]["already_issued"] == 5


def test_a_zip_archive_with_names_that_lead_elsewhere(factory: Factory) -> None:
    made = line("zip", 8)
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, key in made.keys.items():
            archive.writestr(f"{name}.csr", device.request(name, key))
        archive.writestr("../../zip-99.csr", b"x")
        archive.writestr("zip-98.csr", b"\0" * 10_000_000)
    ident = factory.begin(held.getvalue(), "application/zip", "est")
    batch = factory.ended(ident)
    assert (batch["rows"], batch["outcomes"]["issued"], batch["outcomes"]["refused"]) == (10, 8, 2)
    found = factory.results(ident)
    assert ["without folders" in found[8]["reason"], "bytes" in found[9]["reason"]] == [True, True]
    assert len(made.has(found)) == 8


def test_a_large_file_comes_in_blocks(factory: Factory) -> None:
    made = line("blocks", 12)
    body = json_lines(made.rows)
    ident = factory.begin(b"", "application/jsonl")
    blocks = {1: body[:1500], 2: body[1500:1501], 3: body[1501:]}
    for number in (3, 1):
        assert factory.put(ident, number, blocks[number]).status == 200
    assert "blocks are missing" in problem(factory.steer(ident, "start"))[2]
    assert factory.put(ident, 2, b"not this").status == 200
    assert "bytes" in problem(factory.steer(ident, "start", {"bytes": len(body)}))[2]
    assert factory.put(ident, 2, blocks[2]).status == 200
    assert factory.steer(ident, "start", {"bytes": len(body)}).status == 200
    assert factory.ended(ident)["outcomes"]["issued"] == 12
    assert len(made.has(factory.results(ident))) == 12
    assert problem(factory.put(ident, 4, b"x"))[0] == 409


def test_paused_resumed_and_cancelled(factory: Factory, site: Site) -> None:
    made = line("paused", 30)
    ident = factory.begin(table(made.rows))
    assert read(factory.steer(ident, "pause"))["state"] == "paused"
    before = factory.look(ident)
    assert before["state"] == "paused"
    assert read(factory.steer(ident, "resume"))["state"] == "running"
    assert factory.ended(ident)["outcomes"]["issued"] == 30
    assert problem(factory.steer(ident, "cancel"))[:2] == (409, "Conflict")
    assert len(site.issued(name="paused-00")) == 1
    other = factory.begin(table(line("cancelled", 30).rows))
    assert read(factory.steer(other, "cancel"))["state"] == "cancelled"
    assert problem(factory.steer(other, "resume"))[:2] == (409, "Conflict")
    assert factory.look(other)["state"] == "cancelled"
    listed = factory.operator.get("/api/batches?state=cancelled")
    assert other in [one["id"] for one in listed["batches"]]


def test_an_outage_of_digicert_one_is_waited_for_and_costs_no_row(factory: Factory, site: Site) -> None:
    later = {"Retry-After": "4"}  # longer than one request waits
    site.sandbox.fault("DigiCert ONE", "status", method="POST", path=ORDER, status=503, headers=later, times=4)
    made = line("outage", 6)
    ident = factory.begin(table(made.rows))
    assert eventually(lambda: factory.look(ident)["trouble"]), "it says what it waits for"
    batch = factory.ended(ident)
    assert (batch["outcomes"]["issued"], batch["trouble"]) == (6, None)
    assert all(len(site.issued(name=name)) == 1 for name in made.keys)


def test_a_file_that_is_none_is_told_at_once(factory: Factory) -> None:
    for body, media, says in (
        ("device_id,csr\n".encode("utf-16"), "text/csv", "UTF-16"),
        (b"device_id;csr\n", "text/csv", "name each of these columns"),
        (b"{}", "application/zip", "no ZIP archive"),
        (b"x", "text/plain", "text/csv or application/jsonl"),
    ):
        assert says in problem(factory.upload(body, media))[2]
    half = factory.begin(b"PK\x03\x04 and no end", "application/zip")
    batch = factory.ended(half)
    assert batch["state"] == "failed"
    assert "send it again" in batch["trouble"]
