"""Results are lines that people, tools and a later round read."""

import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime

from shared.core import batch_results, batch_rounds, batch_views
from shared.core.batch import Batch, Cursor, Lap
from shared.core.batch_results import Result
from shared.core.batch_rows import Row
from shared.core.certificate import certificate
from shared.core.fleet import LedgerCertificate
from tests.core.making import Authority

CA = Authority()
LEAF = CA.issue()
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ISSUED = Result(Row(1, "dev:1", "AAA"), "issued", certificate=LedgerCertificate(certificate(LEAF), "devices", "batch"))
PENDING = Result(Row(2, "dev-2", "AAA"), "pending", "not yet")
REFUSED = Result(Row(3, 'dév"\n', problem="no"), "refused", "no")
BATCH = Batch("b-1", "devices", "csv", "running", "ada", "lot 7", created=NOW)


def test_a_result_is_one_line_of_json_whatever_the_row_held() -> None:
    lines = [batch_results.line(one) for one in (ISSUED, PENDING, REFUSED)]
    assert all(one.text.count(b"\n") == 1 and one.text.isascii() for one in lines)
    issued, pending, refused = (json.loads(one.text) for one in lines)
    made = certificate(LEAF)
    assert (issued["serial"], issued["not_after"]) == (made.serial, made.not_after.isoformat())
    assert issued["certificate"].startswith("-----BEGIN CERTIFICATE-----\n")
    assert pending == {"row": 2, "device_id": "dev-2", "outcome": "pending", "reason": "not yet"}
    assert refused["device_id"] == 'dév"\n'
    assert batch_results.counts(lines) == {"issued": 1, "already issued": 0, "pending": 1, "refused": 1}


def test_a_later_round_finds_each_row_as_it_was_written() -> None:
    lines = [batch_results.line(one) for one in (ISSUED, PENDING, REFUSED)]
    assert batch_results.by_row(b"".join(one.text for one in lines)) == dict(enumerate(lines, 1))


def test_the_archive_holds_each_certificate_under_a_name_that_every_system_takes() -> None:
    text = b"".join(batch_results.line(one).text for one in (ISSUED, PENDING, REFUSED))
    content = batch_views.zipped(text, [CA.certificate])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["results.jsonl", "chain.pem", "certificates/0000001-dev_1.pem"]
        assert archive.read("results.jsonl") == text
        assert archive.read("chain.pem").startswith(b"-----BEGIN CERTIFICATE-----")
        assert (
            archive.read("certificates/0000001-dev_1.pem").decode() == json.loads(text.split(b"\n")[0])["certificate"]
        )
    assert batch_views.zipped(text, [CA.certificate]) == content


def test_progress_says_how_many_how_fast_and_until_when() -> None:
    later = NOW.replace(minute=10)
    half = replace(
        BATCH,
        size=200,
        begun=NOW,
        changed=later,
        cursor=Cursor(100, 50, 2),
        lap=Lap(NOW, 0, 0.0),
        counts={"issued": 50},
    )
    shown = batch_views.view(half, later)
    assert (shown["rows"], shown["rows_done"], shown["share"], shown["rows_per_minute"]) == (None, 50, 0.5, 5.0)
    assert shown["expected_end"] == NOW.replace(minute=20).isoformat()
    assert shown["outcomes"] == {"issued": 50, "already_issued": 0, "pending": 0, "refused": 0}
    done = batch_views.view(replace(half, state="done", trouble="no"), later)
    assert (done["rows"], done["share"], done["expected_end"], done["trouble"]) == (50, 1.0, None, "no")
    new = batch_views.view(BATCH, later)
    assert (new["begun"], new["changed"], new["trouble"], new["comment"]) == (None, None, None, "lot 7")


def test_a_batch_that_waits_for_approvals_says_for_how_many_and_until_when() -> None:
    worked = replace(BATCH, size=200, cursor=Cursor(200, 50, 2), counts={"issued": 47, "pending": 3})
    waiting = batch_rounds.ended(worked, NOW)
    shown = batch_views.view(waiting, NOW)
    assert (shown["rows"], shown["rows_done"], shown["share"], shown["round"]) == (50, 47, 0.94, 2)
    assert shown["outcomes"] == {"issued": 47, "already_issued": 0, "pending": 3, "refused": 0}
    text = "3 of 50 rows wait for DigiCert ONE; asked again at 2026-03-02T10:00+00:00"
    assert shown["trouble"] == text
    assert batch_views.view(replace(waiting, trouble="no"), NOW)["trouble"] == "no"
    assert batch_views.view(replace(waiting, state="paused"), NOW)["trouble"] is None
    assert batch_views.view(replace(waiting, cursor=Cursor(100, 25, 2)), NOW)["trouble"] is None
