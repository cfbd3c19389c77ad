"""Commands of the pages: those that are marked run against the sandbox, the others are at least shell."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.births import cmp, scep
from tests.conftest import REPOSITORY
from tests.docs.pages import PAGES, Block, blocks

SHELL = [one for page in PAGES for one in blocks(page, "sh")]
RUNNABLE = [one for one in SHELL if "runnable" in one.marks]
# What a block of this mark needs besides, and says why it is missing here.
NEEDS = {"scep": scep.missing, "cmp": cmp.missing}
pytestmark = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("openssl")), reason="curl and openssl are not both installed"
)


def sh(arguments: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", *arguments],
        cwd=REPOSITORY,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("block", SHELL, ids=lambda one: one.name)
def test_it_is_shell(block: Block, tmp_path: Path) -> None:
    done = sh(["-nc", block.text], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("block", RUNNABLE, ids=lambda one: one.name)
def test_it_runs_when_pasted(block: Block, tmp_path: Path) -> None:
    if missing := next(filter(None, (missing() for mark, missing in NEEDS.items() if mark in block.marks)), ""):
        pytest.skip(missing)
    done = sh(["-euc", block.pasted.replace(".venv/bin/python", sys.executable)], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


def test_a_command_that_fails_ends_it(tmp_path: Path) -> None:
    assert sh(["-euc", "false\ntrue"], tmp_path).returncode
