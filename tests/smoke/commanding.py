"""`python -m infra.smoke` as a person starts it after a deployment, against the running sandbox."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sandbox import device, entra, ports
from tests.conftest import REPOSITORY, Running
from tests.e2e.est import Site
from tests.e2e.portal import Identity

type Json = dict[str, Any]

EDGE: Final = f"{ports.LOOPBACK}:{ports.EDGE}"
# Nobody waits here for Event Grid's minute.
QUICK: Final = ("--dps-endpoint", ports.DPS_HOST, "--wait", "6")


@dataclass(frozen=True)
class Outcome:
    """`rows` are the checks of the report by name."""

    status: int
    output: str
    errors: str
    rows: dict[str, Json]

    @property
    def not_ok(self) -> dict[str, str]:
        return {name: row["verdict"] for name, row in self.rows.items() if row["verdict"] != "OK"}


@dataclass
class Smoke:
    """`folder` is this test's own. `environment` is what azd gives, and the function key."""

    sandbox: Running
    folder: Path
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        lines = (self.sandbox.state / "env").read_text().splitlines()
        told = dict(line.split("=", 1) for line in lines if line)
        key = {"BIRTHCERT_FUNCTION_KEY": self.secret("function-key"), "DPS_ID_SCOPE": ports.DPS_ID_SCOPE}
        self.environment = {"PATH": os.environ["PATH"], **told, **key}

    def secret(self, name: str) -> str:
        return Site(self.sandbox).secret(name)

    def dps(self, method: str, path: str, body: Json | None = None) -> Json:
        """The service API of DPS, as whoever set it up may use it."""
        site = Site(self.sandbox)
        token = Identity(site).get_token(entra.DPS_AUDIENCE).token
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        if body is not None:
            headers["If-Match"] = str(body["etag"])
        url = f"https://{ports.DPS_HOST}{path}?api-version=2021-10-01"
        content = b"" if body is None else json.dumps(body).encode()
        answer = device.call(site.tls(), method, url, headers=headers, body=content)
        assert answer.status == 200, answer.line()
        return answer.json()

    def begin(self, host: str, *arguments: str | Path) -> "subprocess.Popen[str]":
        given = ("--host", host, "--json", self.folder / "report.json", *QUICK, *arguments)
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "infra.smoke", *map(str, given)],
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str | Path, host: str = EDGE, stdin: str = "") -> Outcome:
        with self.begin(host, *arguments) as process:
            output, errors = process.communicate(stdin, timeout=90)
        assert "Traceback" not in errors, errors
        found = json.loads((self.folder / "report.json").read_text())
        assert found["holds"] == (process.returncode == 0)
        return Outcome(process.returncode, output, errors, {row["name"]: row for row in found["findings"]})

    def interrupted(self, row: str, *arguments: str | Path) -> str:
        """The device's name, after Ctrl-C at that row."""
        with self.begin(EDGE, *arguments) as process:
            assert process.stdout is not None
            seen = ""
            for line in process.stdout:
                seen += line
                if f"must  {row} " in line:
                    break
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors.count("\n")) == (1, 2), errors
        assert "is decommissioned" in errors
        found = re.search("smoke-[0-9a-f]{8}", seen)
        assert found is not None, seen
        return found[0]
