"""`python -m infra.setup` as a person or azd starts it, against the running sandbox."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Final

from tests.conftest import REPOSITORY, Running

WRITTEN_TO: Final = {"Resource Manager", "DPS", "Key Vault"}
LOOK_UPS: Final = ("/listkeys",)


@dataclass(frozen=True)
class Outcome:
    status: int
    lines: tuple[str, ...]
    errors: str

    def marked(self, mark: str) -> list[str]:
        return [line.removeprefix(mark).strip() for line in self.lines if line.startswith(mark)]


@dataclass
class Command:
    """`environment` is what the sandbox tells; `mark` the journal entry after which to look for writes."""

    sandbox: Running
    environment: dict[str, str] = field(init=False)
    mark: int = 0

    def __post_init__(self) -> None:
        lines = (self.sandbox.state / "env").read_text().splitlines()
        told = dict(line.split("=", 1) for line in lines if line)
        self.environment = {"PATH": os.environ["PATH"], **told}

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "infra.setup", *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, stdin: str = "") -> Outcome:
        self.mark = self.sandbox.mark()
        process = self.begin(*arguments)
        out, errors = process.communicate(stdin, timeout=100)
        assert "Traceback" not in errors, errors
        return Outcome(process.returncode, tuple(out.splitlines()), errors)

    def cut_off(self, service: str, kind: str, path: str, *arguments: str, stdin: str = "") -> None:
        """A run that is killed as soon as its write to this path has met the fault."""
        many = 1000
        self.sandbox.fault(service, kind, method="PUT", path=path, times=many)
        with self.begin(*arguments) as process:
            assert process.stdin is not None
            process.stdin.write(stdin)
            process.stdin.close()
            end = time.monotonic() + 60
            while self.sandbox.control("GET", "/faults")[0]["times"] == many:
                assert process.poll() is None, "the run ended before it came to the write"
                assert time.monotonic() < end
                time.sleep(0.005)
            process.kill()
        self.sandbox.control("DELETE", "/faults")

    def writes(self) -> list[str]:
        """What the last run has written anywhere."""
        return [f"{entry['service']} {entry['path']}" for entry in self.sandbox.journal(self.mark) if is_write(entry)]

    def undeploy(self) -> None:
        self.sandbox.control("PUT", "/deployment", {"done": False})

    def deploy(self) -> None:
        self.sandbox.control("PUT", "/deployment", {"done": True})


def is_write(entry: dict[str, Any]) -> bool:
    if entry["service"] not in WRITTEN_TO or entry["event"] != "request" or entry["method"] == "GET":
        return False
    return not entry["path"].endswith(LOOK_UPS)
