"""What a cold start pays for imports, in fresh interpreters: CPU time, medians, the contestants taking turns."""

import ast
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

REPOSITORY = Path(__file__).parents[1]
ROUNDS = 9
APP = "import function_app"
BARE = "import azure.functions, httpx, cryptography.x509"
WIRING = "import shared.wiring"

# Time is taken before the first statement and after it; `prepared` is imported first and not counted.
_PROGRAM = """
import time
{prepared}
began = time.process_time()
{statement}
print(time.process_time() - began)
"""


@dataclass(frozen=True)
class Figure:
    """Milliseconds of CPU."""

    name: str
    cpu_ms: float


def measure(say: Callable[[str], None]) -> list[Figure]:
    first_use = deferred(REPOSITORY / "shared" / "wiring" / "__init__.py")
    contestants = {
        "function_app, at the start of the app": ("", APP),
        "bare azure.functions, httpx, cryptography.x509": ("", BARE),
        "shared.wiring, at the first event": (APP, WIRING),
        "the SDKs that wiring imports when it is called": (f"{APP}\n{WIRING}", first_use),
    }
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(ROUNDS + 1):
        for name, (prepared, statement) in contestants.items():
            seconds = _run(prepared, statement)
            if number:  # the first turn only fills the caches of compiled files and of the disk
                taken[name].append(seconds)
    figures = [Figure(name, median(seconds) * 1000) for name, seconds in taken.items()]
    for figure in figures:
        say(f"{figure.name}: {figure.cpu_ms:.0f} ms")
    return figures


def deferred(path: Path) -> str:
    """The import statements that stand inside the functions of a module, as one text."""
    functions = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef))
    inside = (node for function in functions for node in ast.walk(function))
    return "\n".join(ast.unparse(node) for node in inside if isinstance(node, ast.Import | ast.ImportFrom)) or "pass"


def _run(prepared: str, statement: str) -> float:
    program = _PROGRAM.format(prepared=prepared, statement=statement)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True
    )
    return float(done.stdout.split()[-1])
