"""checkov finds nothing in Bicep, and can read all of it. It lives in an environment of its own: infra/checkov.in.

It sees resources that our files declare, and does not look into Azure Verified Modules, which hold most of ours: what
it would ask of those is in test_resources.py.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import REPOSITORY
from tests.infra.bicep import FILES, INFRA, read

pytestmark = pytest.mark.timeout(900)  # the first run installs it

HOME: Final = REPOSITORY / ".venv-checkov"
PINNED: Final = INFRA / "checkov.txt"

# Rules that do not fit, each with its reason.
SUPPRESSED: Final[dict[str, str]] = {}

# Files in words that checkov's parser of 2023 does not know, and the only types that they may declare.
UNREAD: Final = INFRA / "monitor"  # typed arrays and lambdas; queries, charts and alerts, for which it has no rule
HARMLESS: Final = (
    "Microsoft.Insights/metricAlerts@",
    "Microsoft.Insights/scheduledQueryRules@",
    "Microsoft.Insights/workbooks@",
    "Microsoft.OperationalInsights/queryPacks",
)


@pytest.fixture(scope="module")
def checkov() -> Path:
    """The command; installed from pinned hashes when it is missing or the pins are others."""
    command, complete = HOME / "bin" / "checkov", HOME / ".complete"
    if complete.is_file() and complete.read_bytes() == PINNED.read_bytes():
        return command
    subprocess.run([sys.executable, "-m", "venv", "--clear", HOME], check=True, timeout=120)
    pip = [
        str(HOME / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--require-hashes",
        "-r",
        str(PINNED),
    ]
    done = subprocess.run(pip, capture_output=True, text=True, check=False, timeout=700)
    if done.returncode and ("No matching distribution" in done.stderr or "Connection" in done.stderr):
        shutil.rmtree(HOME)
        pytest.skip("checkov is not installed, and the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    complete.write_bytes(PINNED.read_bytes())
    return command


def found(checkov: Path, directory: Path, *arguments: str) -> dict[str, Any]:
    """Its report. Where nothing was checked, checkov prints the summary alone."""
    command = [
        str(checkov),
        "--framework",
        "bicep",
        "--skip-download",
        "--output",
        "json",
        "--directory",
        str(directory),
    ]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=180)
    assert done.stdout.strip(), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report if "summary" in report else {"summary": report, "results": {"failed_checks": []}}


def test_checkov_finds_nothing_and_reads_every_file(checkov: Path) -> None:
    skipped = [argument for rule in SUPPRESSED for argument in ("--skip-check", rule)]
    report = found(checkov, INFRA, "--skip-path", UNREAD.name, *skipped)
    assert report["summary"]["parsing_errors"] == 0
    failed = [(one["check_id"], one["file_path"], one["resource"]) for one in report["results"]["failed_checks"]]
    assert failed == []


def test_checkov_reports_an_open_storage_account_and_a_file_that_is_broken(checkov: Path, tmp_path: Path) -> None:
    account = "resource a 'Microsoft.Storage/storageAccounts@2023-01-01' = {\n  name: 'a'\n  properties: {\n"
    open_to_all = "    allowBlobPublicAccess: true\n    minimumTlsVersion: 'TLS1_0'\n  }\n}\n"
    (tmp_path / "open.bicep").write_text(account + open_to_all, encoding="utf-8")
    (tmp_path / "broken.bicep").write_text(account, encoding="utf-8")
    report = found(checkov, tmp_path)
    assert report["summary"]["parsing_errors"] == 1
    assert "CKV_AZURE_44" in {one["check_id"] for one in report["results"]["failed_checks"]}  # TLS 1.2


def test_files_that_checkov_cannot_read_hold_nothing_that_it_has_rules_for() -> None:
    declared = {
        one.target for path in FILES if path.is_relative_to(UNREAD) for one in read(path).of("resource").values()
    }
    assert [target for target in declared if not target.startswith(HARMLESS)] == []
