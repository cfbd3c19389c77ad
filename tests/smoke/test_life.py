"""The life of the test device, step by step: what a step that fails leaves to the others, and an end in any case."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from infra.smoke import arguments, life
from infra.smoke.checks import Finding
from infra.smoke.credentials import Credentials
from infra.smoke.site import Ops, Site
from infra.smoke.trial import Living, Trial
from sandbox import ports
from tests.conftest import Running
from tests.e2e.est import Site as Outside
from tests.smoke.spoiling import spoiled


def trial(sandbox: Running, host: str, roots: Path, *more: str) -> Trial:
    given = ["--host", host, "--ca", str(roots), "--id-scope", ports.DPS_ID_SCOPE, "--dps-endpoint", ports.DPS_HOST]
    options = arguments.parse([*given, "--wait", "2", *more], {})
    key = Outside(sandbox).secret("function-key")
    return Trial(Site(options.server), Ops(options.server, key), options, Credentials(key, sandbox.passcode))


def nothing_else(_: Living) -> Iterator[Finding]:
    return iter(())


def until(checks: Generator[Finding], last: str) -> list[Finding]:
    """The rows up to that one; then the run is cut off, as when somebody presses Ctrl-C."""
    seen = []
    for one in checks:
        seen.append(one)
        if one.check.name == last:
            break
    checks.close()
    return seen


def test_an_app_to_which_event_grid_says_nothing_is_found(sandbox: Running, tmp_path: Path) -> None:
    """The front hides from the operators' API what the event has told the app."""
    with spoiled(sandbox, tmp_path, "knows no hub") as (host, roots):
        rows = until(life.checks(trial(sandbox, host, roots), nothing_else), "Event Grid reaches the app")
    assert [one.check.name for one in rows if one.fails] == ["Event Grid reaches the app"]
    assert "subscription of hub_events" in rows[-1].do


@pytest.mark.parametrize("last", ["birth", "DPS registers it", "renewal"])
def test_a_device_is_decommissioned_wherever_the_run_is_cut_off(sandbox: Running, last: str) -> None:
    begun = trial(sandbox, "127.0.0.1:8443", sandbox.tls_root)
    rows = until(life.checks(begun, nothing_else), last)
    name = rows[0].came.partition(" ")[0]
    record = begun.ops.device(name)
    assert record is not None
    assert record["block"]["state"] == "revoked"
    assert record["saga"]["verb"] == "decommission"
