"""Microsoft's own language service of KQL, in Node.js: what is wrong with a query, and which names it asks for.

https://www.npmjs.com/package/@kusto/language-service-next
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.azurite import NODE
from tests.pinned import installed

PINNED = Path(__file__).with_name("kusto")

# The columns that matter, of learn.microsoft.com/azure/azure-monitor/reference/tables/apptraces, …/appmetrics,
# …/appdependencies, …/appexceptions.
_EVERY = (
    "TimeGenerated: datetime, OperationId: string, ParentId: string, AppRoleName: string, AppRoleInstance: string, "
)
_EVERY += "ItemCount: int, Properties: dynamic, _ResourceId: string"
_TABLES = {
    "AppTraces": f"({_EVERY}, Message: string, SeverityLevel: int)",
    "AppMetrics": f"({_EVERY}, Name: string, Sum: real, Min: real, Max: real)",
    "AppDependencies": f"({_EVERY}, Id: string, Name: string, Target: string, DependencyType: string, Data: string, "
    "ResultCode: string, Success: bool, DurationMs: real)",
    "AppExceptions": f"({_EVERY}, ExceptionType: string, InnermostMessage: string, OuterMessage: string)",
}


@dataclass(frozen=True)
class Compared:
    """A text, or several, that the query compares with the value of an expression."""

    what: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Analysis:
    """`members` are the pairs of a dynamic value and the name that the query asks it for."""

    problems: tuple[str, ...]
    tables: frozenset[str]
    members: frozenset[tuple[str, str]]
    compared: tuple[Compared, ...]


def analyse(queries: Mapping[str, str]) -> dict[str, Analysis]:
    done = subprocess.run(
        [NODE, PINNED / "analyse.mjs", installed(PINNED)],
        input=json.dumps({"tables": _TABLES, "queries": dict(queries)}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: _analysis(found) for name, found in json.loads(done.stdout).items()}


def _analysis(found: Mapping[str, list[dict[str, str]]]) -> Analysis:
    return Analysis(
        problems=tuple(map(str, found["problems"])),
        tables=frozenset(map(str, found["tables"])),
        members=frozenset((one["of"], one["name"]) for one in found["members"]),
        compared=tuple(Compared(one["what"], one["operator"], tuple(one["values"])) for one in found["compared"]),
    )
