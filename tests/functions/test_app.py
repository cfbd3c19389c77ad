"""`function_app.py` as Azure loads it: Microsoft's own runtime takes every function, and the bindings are as meant."""

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY

GOLDEN = Path(__file__).with_name("bindings.json")

LIST = """
import json, pathlib, sys
from sandbox.host import index
functions = index.load(pathlib.Path.cwd())
print(json.dumps({one.name: [one.trigger, *one.outputs.values()] for one in functions}))
heavy = ("azure.data", "azure.identity", "azure.storage", "azure.keyvault", "azure.iot", "shared.wiring",
         "azure.monitor", "opentelemetry.sdk")
print(json.dumps(sorted(name for name in heavy if name in sys.modules)))
"""


def test_the_runtime_loads_every_function_without_one_setting_and_without_the_sdks() -> None:
    """One bad annotation, or one setting read at import, would leave the host with no function at all."""
    done = subprocess.run(
        [sys.executable, "-c", LIST], cwd=REPOSITORY, env={}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    bindings, heavy = map(json.loads, done.stdout.splitlines())
    assert heavy == []
    assert bindings == json.loads(GOLDEN.read_text())


def test_the_queue_messages_are_encoded_as_the_triggers_expect() -> None:
    host = json.loads((REPOSITORY / "host.json").read_text())
    assert host["extensions"]["queues"]["messageEncoding"] == "base64"
    assert host["extensions"]["http"]["routePrefix"] == ""
