"""The Bicep of `infra/monitor` takes in every query, and every alert has its runbook."""

import re

from tests.infra.bicep import INFRA, read
from tests.monitor.published import FOLDER, RUNBOOKS, bicep, exists, loaded, names, queries


def test_every_query_is_in_the_query_pack_under_its_own_name() -> None:
    text = bicep("queries")
    assert loaded(text) == ["base.kql", *(f"queries/{name}.kql" for name in names(text))]
    assert {f"queries/{name}" for name in names(text)} == {name for name in queries() if name.startswith("queries/")}


def test_every_alert_has_its_query_under_its_own_name() -> None:
    text = bicep("alerts")
    assert loaded(text) == ["base.kql", *(f"alerts/{name}.kql" for name in names(text))]
    assert {f"alerts/{name}" for name in names(text)} == {name for name in queries() if name.startswith("alerts/")}


def test_every_alert_has_a_runbook_that_says_what_it_means_and_what_to_do() -> None:
    chapter = RUNBOOKS.read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    sections = dict(re.findall(r"^### (\S+)\n(.*?)(?=^### |\Z)", chapter, re.MULTILINE | re.DOTALL))
    assert sorted(sections) == sorted(names(bicep("alerts")) + names(bicep("topics")))
    for section in sections.values():
        assert all(f"**{part}.**" in section for part in ("Means", "Look at", "Do"))


def test_of_every_topic_that_the_app_hears_somebody_is_told_what_did_not_arrive() -> None:
    main, topics = read(INFRA / "main.bicep"), read(FOLDER / "topics.bicep")
    given = main.value(main.of("module")["monitor"].body, "params", "topicIds")
    assert given == "concat(iot.outputs.topicIds, [vault.outputs.topicId])"
    found = [topics.value(one, "metric") for one in topics.objects(topics.of("var")["alerts"].body)]
    assert found == ["DeadLetteredCount", "DroppedEventCount"]  # …/azure/event-grid/monitor-push-reference


def test_the_queries_that_runbooks_name_are_in_the_query_pack() -> None:
    titles = re.findall(r"^    title: '([^']+)'$", bicep("queries"), re.MULTILINE)
    named = re.findall(r"Quer(?:y|ies) ((?:\*[^*]+\*(?:, | and |, then )?)+)", RUNBOOKS.read_text().replace("\n", " "))
    assert named
    for title in (title for text in named for title in re.findall(r"\*([^*]+)\*", text)):
        assert title in titles


def test_the_workbook_shows_queries_of_the_pack() -> None:
    """So none of it is unproven, and what a chart shows can be opened and changed under Logs."""
    pack = set(loaded(bicep("queries")))
    shown = loaded(bicep("workbook"))
    assert set(shown) <= pack
    needed = "device-life lifecycle upstream circuits expiry-histogram enrollments refusals stuck"
    assert {f"queries/{name}.kql" for name in needed.split()} <= set(shown)


def test_the_device_of_the_workbook_takes_the_place_of_the_example() -> None:
    assert queries()["queries/device-life"].count("DEVICE-ID") == 1
    assert "'DEVICE-ID', '{Device}'" in bicep("workbook")


def test_alerts_look_no_further_and_no_oftener_than_azure_permits() -> None:
    """learn.microsoft.com/azure/azure-monitor/alerts/alerts-create-log-alert-rule: minutes of windowSize."""
    permitted = {1, 5, 10, 15, 30, 45, 60, 120, 180, 240, 300, 360, 1440, 2880}
    minutes = {"M": 1, "H": 60, "D": 1440}
    text = bicep("alerts")
    pairs = re.findall(r"window: 'PT?(\d+)([MHD])'\n    every: 'PT(\d+)([MH])'", text)
    assert len(pairs) == len(names(text))
    for number, unit, every, every_unit in pairs:
        window, frequency = int(number) * minutes[unit], int(every) * minutes[every_unit]
        assert {window, frequency} <= permitted
        assert frequency <= window


def test_no_file_lies_about_unused() -> None:
    used = {name for part in ("queries", "alerts", "workbook") for name in loaded(bicep(part))}
    assert all(map(exists, used))
    assert {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.kql")} == used
