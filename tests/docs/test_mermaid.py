"""Every picture is one that Mermaid can draw: https://www.npmjs.com/package/@mermaid-js/tiny."""

import json
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from sandbox.azurite import NODE
from tests.docs.pages import PAGES, blocks
from tests.pinned import installed

PINNED = Path(__file__).with_name("mermaid")
PICTURES = {one.name: one.text for page in PAGES for one in blocks(page, "mermaid")}
BROKEN = {
    "an arrow without an end": "flowchart LR\n  a -->\n",
    "a bracket that stays open": 'flowchart LR\n  a["text --> b\n',
    "two arrows in a row": "stateDiagram-v2\n  a --> --> b\n",
    "a message without a receiver": "sequenceDiagram\n  D->>: CSR\n",
    "a kind of picture that does not exist": "timetable\n  a --> b\n",
}


@cache
def problems() -> Mapping[str, str]:
    """All at once: Mermaid is a large file."""
    done = subprocess.run(
        [NODE, PINNED / "parse.mjs", installed(PINNED)],
        input=json.dumps({**PICTURES, **BROKEN}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", PICTURES)
def test_mermaid_can_draw_it(name: str) -> None:
    assert problems()[name] == ""


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_picture_is_found(name: str) -> None:
    assert problems()[name]
