"""The table that a person reads, and the report that a machine reads."""

import json
from datetime import UTC, datetime

from infra.smoke.checks import Check, Finding, settle
from infra.smoke.report import COLUMNS, Report
from infra.smoke.wire import Silent

MUST = Check("a thing", "something long enough that it does not fit into its column", "it")
FACT = Check("a fact", "something", "it", must=False)


def reported(*findings: Finding) -> tuple[Report, str]:
    lines: list[str] = []
    report = Report(lines.append)
    report.begin("a part")
    for one in findings:
        report.add("a part", one)
    report.end()
    return report, "\n".join(lines)


def test_only_a_must_that_differs_fails() -> None:
    good, text = reported(MUST.holds("it"), MUST.unknown("?", "look"), FACT.differs("other", "nothing"))
    assert good.holds
    assert text.endswith("1 as expected, 1 differ, 1 cannot be told\nwhat must hold holds")
    bad, text = reported(FACT.holds("it"), MUST.differs("other", "mend it"))
    assert not bad.holds
    assert text.endswith("what must hold and does not: a thing")
    assert not reported(MUST.as_fact().differs("other", "live with it"))[1].endswith("a thing")


def test_a_row_shows_what_was_tried_expected_and_came_and_what_to_do() -> None:
    _, text = reported(MUST.differs("something else", "mend it with care"))
    assert "DIFFERS      must  a thing" in text
    assert all(word in text for word in ("something long", "its column", "something else", "-> mend it with care"))
    assert max(map(len, text.splitlines())) <= sum(COLUMNS) + 2 * (len(COLUMNS) - 1)


def test_the_report_holds_every_row() -> None:
    report, _ = reported(MUST.holds("it"), FACT.differs("other", "nothing"))
    told = json.loads(report.as_json("a.b", "devices", datetime(2026, 1, 2, tzinfo=UTC)))
    assert (told["host"], told["label"], told["at"]) == ("a.b", "devices", "2026-01-02T00:00:00+00:00")
    assert told["holds"] is True
    assert [(row["part"], row["name"], row["must"], row["verdict"]) for row in told["findings"]] == [
        ("a part", "a thing", True, "OK"),
        ("a part", "a fact", False, "DIFFERS"),
    ]
    assert told["findings"][1]["do"] == "nothing"


def test_no_answer_is_no_answer_as_expected() -> None:
    def look(_: Check) -> Finding:
        raise Silent("refused")

    found = settle(MUST, look)
    assert found.fails
    assert found.came == "no answer: refused"
