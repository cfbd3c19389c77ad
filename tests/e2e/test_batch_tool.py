"""`python -m tools.batch` as a factory starts it: progress, results, exit statuses, and a second start."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import supervisor
from tests.conftest import REPOSITORY
from tests.e2e.est import Site
from tests.e2e.factories import Factory, json_lines, line, table
from tests.e2e.operators import Operator

CLOSED = "https://127.0.0.1:9"  # nothing listens on the discard port


def command(site: Site, file: Path, *words: str, host: str = "") -> list[str]:
    where = ["--host", host or supervisor.EDGE_URL, "--ca", str(site.sandbox.tls_root.absolute())]
    return [sys.executable, "-m", "tools.batch", str(file), "--label", "rest", "--every", "0.2", *where, *words]


def environment(site: Site, key: str = "") -> dict[str, str]:
    return os.environ | {"BIRTHCERT_FUNCTION_KEY": key or site.secret("function-key"), "NO_PROXY": "*"}


def run(site: Site, file: Path, *words: str, key: str = "", host: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(site, file, *words, host=host),
        cwd=REPOSITORY,
        env=environment(site, key),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def factory(operator: Operator) -> Factory:
    return Factory(operator)


def test_a_file_is_sent_watched_and_its_results_fetched_and_again_it_is_the_same(
    site: Site, factory: Factory, tmp_path: Path
) -> None:
    made = line("tool", 20)
    file = tmp_path / "line.csv"
    file.write_bytes(table(made.rows))
    done = run(site, file)
    assert done.returncode == 0, done.stderr
    ident = done.stderr.split("batch ")[1].split()[0]
    progress = [text for text in done.stderr.splitlines() if text.startswith("[")]
    assert progress[0].startswith(f"[{'█' * 30}] 100.0% sent")
    assert "100.0% 20 issued" in progress[-1]
    assert done.stdout.startswith("done: 20 rows\n  issued                 20\n")
    results = tmp_path / "line.results.jsonl"
    found = [json.loads(text) for text in results.read_text().splitlines()]
    assert found == factory.results(ident)
    assert len(made.has(found)) == 20
    results.unlink()
    again = run(site, file)
    assert (again.returncode, ident in again.stderr, results.is_file()) == (0, True, True)
    assert len(site.issued(name="tool-00")) == 1
    other = run(site, file, "--run", "2", "--results", str(tmp_path / "2.jsonl"))
    assert (other.returncode, ident in other.stderr) == (0, False)
    assert "already issued         20" in other.stdout


def test_refused_rows_are_told_and_end_in_1(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(json_lines([*line("tool-refused", 2).rows, ("tool-x", "AAAA")]))
    done = run(site, file)
    assert done.returncode == 1
    assert 'row 3 "tool-x": ' in done.stdout


def test_it_pauses_resumes_and_cancels(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(table(line("tool-steered", 3).rows))
    early = run(site, file, "--pause")
    assert (early.returncode, "has not been sent yet" in early.stderr) == (1, True)
    # An order comes to nothing, so that the batch waits and can be caught.
    path, later = "/iot/api/v1/certificate", {"Retry-After": "12"}
    site.sandbox.fault("DigiCert ONE", "status", method="POST", path=path, status=503, headers=later)
    watching = subprocess.Popen(
        command(site, file),
        cwd=REPOSITORY,
        env=environment(site),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stderr is not None
    for text in watching.stderr:
        if text.startswith("batch "):
            break
    paused = run(site, file, "--pause")
    assert (paused.returncode, paused.stdout.startswith("paused: ")) == (0, True), paused.stderr
    out, _ = watching.communicate(timeout=30)
    assert watching.returncode == 1
    assert "go on with --resume" in out
    resumed = run(site, file, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "done: 3 rows" in resumed.stdout
    cancelled = run(site, file, "--cancel")
    assert (cancelled.returncode, "nothing to cancel" in cancelled.stderr) == (1, True)


def test_a_wrong_key_and_a_host_that_is_not_there_are_told(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(table(line("tool-nobody", 1).rows))
    wrong = run(site, file, key="not-the-key")
    assert (wrong.returncode, wrong.stderr.startswith("refused: the function key is not accepted")) == (1, True)
    down = run(site, file, host=CLOSED)
    assert (down.returncode, down.stderr.startswith(f"refused: {CLOSED} does not answer")) == (1, True)
    unknown = run(site, file, "--label", "nowhere")
    assert (unknown.returncode, "no such label" in unknown.stderr) == (1, True)
    assert not list(tmp_path.glob("*.part"))
