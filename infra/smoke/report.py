"""What a person reads while the checks run, and what a machine reads afterwards."""

import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from infra.smoke.checks import Finding

# Widths of verdict, kind, name, tried, expected, came: 140 columns with what stands between them.
COLUMNS: Final = (11, 4, 22, 35, 29, 29)
TITLES: Final = ("", "", "check", "tried", "expected", "came")
_GAP: Final = "  "
_INDENT: Final = sum(COLUMNS[:2]) + 2 * len(_GAP)


@dataclass
class Report:
    """The rows, as they come; `say` prints a line."""

    say: Callable[[str], None]
    parts: dict[str, list[Finding]] = field(default_factory=dict)

    @property
    def findings(self) -> Sequence[Finding]:
        return [one for part in self.parts.values() for one in part]

    @property
    def holds(self) -> bool:
        return not any(one.fails for one in self.findings)

    def begin(self, part: str) -> None:
        self.parts[part] = []
        self.say(f"\n{part.upper()}\n{_row(TITLES)}\n{_GAP.join('-' * width for width in COLUMNS)}")

    def add(self, part: str, found: Finding) -> None:
        self.parts[part].append(found)
        check = found.check
        kind = "must" if check.must else "fact"
        self.say(_row((found.verdict, kind, check.name, check.tried, check.expected, found.came)))
        if found.do:
            self.say(textwrap.indent(textwrap.fill(f"-> {found.do}", sum(COLUMNS[2:]) + 8), " " * _INDENT))

    def end(self) -> None:
        counts = {verdict: sum(one.verdict == verdict for one in self.findings) for verdict in _SAID}
        self.say("\n" + ", ".join(f"{counts[verdict]} {said}" for verdict, said in _SAID.items()))
        failing = [one.check.name for one in self.findings if one.fails]
        self.say(f"what must hold and does not: {', '.join(failing)}" if failing else "what must hold holds")

    def as_json(self, host: str, label: str, at: datetime) -> str:
        rows = [{"part": part, **_told(one)} for part, findings in self.parts.items() for one in findings]
        told = {"host": host, "label": label, "at": at.isoformat(), "holds": self.holds, "findings": rows}
        return json.dumps(told, indent=2) + "\n"


_SAID: Final = {"OK": "as expected", "DIFFERS": "differ", "CANNOT TELL": "cannot be told"}


def _told(found: Finding) -> dict[str, object]:
    return {
        "name": found.check.name,
        "must": found.check.must,
        "verdict": found.verdict,
        "tried": found.check.tried,
        "expected": found.check.expected,
        "came": found.came,
        "do": found.do,
    }


def _row(cells: Sequence[str]) -> str:
    """A row of the table; a cell takes as many lines as it needs."""
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, COLUMNS, strict=True)]
    lines = max(map(len, columns))
    padded = [column + [""] * (lines - len(column)) for column in columns]
    return "\n".join(
        _GAP.join(cell.ljust(width) for cell, width in zip(line, COLUMNS, strict=True)).rstrip()
        for line in zip(*padded, strict=True)
    )
