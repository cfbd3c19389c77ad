"""The factory's story: told to its end with a few devices, and honest about what it could not show."""

import asyncio
import base64
import csv
import io
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import device, fleet, pki, telling
from sandbox.births.ways import WAYS, Way
from sandbox.device import Identity
from sandbox.factory import Factory
from sandbox.progress import Progress
from sandbox.stage import Stage
from sandbox.timeline import Timeline
from sandbox.world import Clock, Fault

ROOT = Path(__file__).parents[2]
NAMES = [f"dev-{number}" for number in range(12)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def nobody(state: Path, name: str) -> Identity:
    raise AssertionError(f"{name} is not born where {state} lacks the tool")


@pytest.mark.usefixtures("own_ports")
def test_it_is_told_to_its_end_also_where_a_tool_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where its files go
    missing = Way("SCEP", lambda: "strongSwan's pki is not installed", nobody)
    others = tuple(one for one in WAYS if one.name == "ACME")
    told, table = io.StringIO(), dict[str, str]()

    def tell(stage: Stage) -> str:
        # DPS fails the first of the devices, which tries again.
        stage.sandbox.world.faults.planned.append(Fault("DPS", "status", method="PUT", path="/register"))
        factory = Factory(stage, devices=len(NAMES), ways=(missing, *others))
        factory.tell()
        table.update(factory.table)
        return "told"

    status = asyncio.run(telling.run(ROOT, Timeline(told), tell))
    shown = told.getvalue()
    assert status == 0, shown
    hubs = {what: table.pop(what) for what in list(table) if what.startswith("  in hub-")}
    assert sum(map(int, hubs.values())) == 12
    assert table == {
        "devices on the manifest": "15",
        "rows in the batch": "17",
        "  with a certificate for the device's key": "12",
        "  refused, with a reason": "5",
        "registered with DPS and let in by their hubs": "12",
        "born by one-time passcode": "1",
        "born over SCEP": "not shown",
        "born over ACME, and adopted": "1",
        "renewed over EST, born over ACME": "1",
        "revoked, and refused by EST, DPS, hub and DigiCert ONE": "1",
    }
    assert all(what in shown for what in table)
    assert "not shown here: strongSwan's pki is not installed" in shown
    assert "\x1b" not in shown
    assert shown.rstrip().endswith("told")


def test_a_file_of_requests_holds_a_good_row_for_each_device_and_the_broken_ones_between(tmp_path: Path) -> None:
    order = fleet.ordered(NAMES)
    order.write(tmp_path / "order.csv")
    header, *rows = csv.reader(io.StringIO((tmp_path / "order.csv").read_text()))
    assert header == ["device_id", "csr"]
    good = [row for number, row in enumerate(rows, 1) if number not in order.broken]
    assert [name for name, _ in good] == NAMES
    for name, text in good:
        request = x509.load_der_x509_csr(base64.b64decode(text))
        assert request.public_key() == order.keys[name].public_key()
    assert len(rows) == len(NAMES) + len(order.broken) == 17


def test_a_device_takes_no_certificate_for_another_key() -> None:
    authority = pki.issuing_hierarchy(Clock().now()).ica
    keys: dict[str, device.Key] = {name: ec.generate_private_key(ec.SECP256R1()) for name in NAMES[:2]}
    right = pki.issue_leaf(authority, NAMES[0], keys[NAMES[0]].public_key(), Clock().now())
    wrong = pki.issue_leaf(authority, NAMES[1], keys[NAMES[0]].public_key(), Clock().now())
    rows = [
        {
            "device_id": device.common_name(leaf),
            "outcome": "issued",
            "certificate": leaf.public_bytes(Encoding.PEM).decode(),
        }
        for leaf in (right, wrong)
    ]
    found = fleet.delivered([*rows, {"device_id": "dev-9", "outcome": "refused"}], keys, [authority.certificate])
    assert [one.chain for one in found] == [(right, authority.certificate)]


def test_devices_that_had_no_time_are_counted() -> None:
    key = device.new_key("ec-p256")
    leaf = pki.issue_leaf(pki.issuing_hierarchy(Clock().now()).ica, "dev-1", key.public_key(), Clock().now())
    arrived = fleet.arrive(
        [Identity(key, (leaf,))] * 3, Path("no-root"), Progress(3, "devices", io.StringIO()), lambda: True
    )
    assert (arrived.left_out, arrived.hubs, arrived.refused) == (3, {}, [])


def test_progress_is_a_bar_on_a_terminal_and_a_few_lines_elsewhere() -> None:
    quiet, terminal = io.StringIO(), Terminal()
    for out in (quiet, terminal):
        progress = Progress(100, "devices", out)
        for _ in range(100):
            progress.step()
        progress.end()
    lines = quiet.getvalue().splitlines()
    assert 4 <= len(lines) <= 5
    assert lines[-1] == f"[{'█' * 30}] 100.0% 100 of 100 devices"
    assert terminal.getvalue().count("\r") == 100
    assert terminal.getvalue().endswith("100 of 100 devices\n")
