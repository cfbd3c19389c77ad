"""What `infra/monitor` gives to Azure: every query as the portal gets it, with what stands before it."""

import re
from pathlib import Path

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "infra" / "monitor"
RUNBOOKS = REPOSITORY / "docs" / "operations.md"


def base() -> str:
    return (FOLDER / "base.kql").read_text()


def queries() -> dict[str, str]:
    """By path, without its ending: `queries/stuck`, `alerts/silence`."""
    found = sorted(path for path in FOLDER.rglob("*.kql") if path.name != "base.kql")
    return {str(path.relative_to(FOLDER).with_suffix("")): f"{base()}\n{path.read_text()}" for path in found}


def bicep(name: str) -> str:
    return (FOLDER / f"{name}.bicep").read_text()


def loaded(text: str) -> list[str]:
    """The files that a Bicep file takes in, in its order."""
    return re.findall(r"loadTextContent\('([^']+)'\)", text)


def names(text: str) -> list[str]:
    """The entries of its list."""
    return re.findall(r"^    name: '([a-z-]+)'$", text, re.MULTILINE)


def exists(name: str) -> bool:
    return Path(FOLDER / name).is_file()
