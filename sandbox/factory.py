"""`python -m sandbox run factory`: how the devices of a factory are born by hundreds, and some past Birthcert.

The batch is sent by the tool that factories get, `python -m tools.batch`, as they start it.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509

from sandbox import device, fleet, ports, supervisor
from sandbox.births.ways import WAYS, Way
from sandbox.connected import serial_of
from sandbox.device import DeviceError, Identity
from sandbox.fleet import Order
from sandbox.progress import Progress
from sandbox.stage import Stage
from sandbox.story import short_name
from sandbox.timeline import Entry, described, hub_name

DEVICES: Final = 500
LABEL: Final = "factory"
EST_URL: Final = f"{supervisor.EDGE_URL}/.well-known/est/{LABEL}"
BATCH_WITHIN: Final = 120.0
# Some 30 seconds on two cores; a machine that takes longer than this has another trouble.
ARRIVE_WITHIN: Final = 300.0
HEARD_WITHIN: Final = 120.0


@dataclass
class Factory:
    """The chapters in their order. `table` is what is said at the end."""

    stage: Stage
    devices: int = DEVICES
    ways: tuple[Way, ...] = WAYS
    line: str = field(default_factory=lambda: f"line{secrets.randbelow(90) + 10}")
    table: list[tuple[str, str]] = field(default_factory=list)

    def tell(self) -> None:
        names = [f"{self.line}-{number:04}" for number in range(1, self.devices + 1)]
        late, others = f"{self.line}-late", [f"{self.line}-{way.name.lower()}" for way in self.ways]
        self.stage.follows = partial(is_of, (late, *others))
        self.manifest([*names, late, *others])
        batch = self.batch(fleet.ordered(names))
        self.arrive(batch)
        born = self.passcode(late)
        for number, (way, name) in enumerate(zip(self.ways, others, strict=True), 5):
            born = self.elsewhere(number, way, name) or born
        self.renewed(*born)
        self.revoked(batch[0])
        self.closing()

    def counted(self, what: str, number: object) -> None:
        self.table.append((what, f"{number:,}" if isinstance(number, int) else str(number)))

    def manifest(self, names: list[str]) -> None:
        text = f"The factory announces {len(names)} devices. The label `{LABEL}` lets nobody else in."
        self.stage.chapter(1, "Manifest", text)
        path = f"/api/devices?label={LABEL}"
        self.stage.line("factory → Birthcert", f"POST {path}, {len(names)} rows of CSV")
        answer = self.stage.api("POST", path, "\n".join(["device_id", *names]).encode(), "text/csv")
        self.stage.line("Birthcert → factory", f"{answer.status} {answer.json().get('outcomes')}")
        self.stage.require(answer.json().get("outcomes", {}).get("expected") == len(names), answer.line())
        self.counted("devices on the manifest", len(names))

    def batch(self, order: Order) -> list[Identity]:
        text = (
            f"The devices make their keys. Their {len(order.rows)} requests go into one file, and with them "
            f"{len(order.broken)} broken rows: {'; '.join(order.broken.values())}."
        )
        self.stage.chapter(2, "Batch", text)
        with tempfile.TemporaryDirectory() as folder:
            file, results = Path(folder) / f"{self.line}.csv", Path(folder) / "results.jsonl"
            order.write(file)
            self.send(file, results)
            rows = [json.loads(row) for row in results.read_text().splitlines()]
        refused = {int(row["row"]) for row in rows if row["outcome"] == "refused"}
        self.stage.require(refused == set(order.broken), f"rows {sorted(refused)} were refused")
        born = fleet.delivered(rows, order.keys, self.authorities())
        self.stage.require(len(born) == len(order.keys), f"{len(born)} certificates are good")
        self.counted("rows in the batch", len(rows))
        self.counted("  with a certificate for the device's key", len(born))
        self.counted("  refused, with a reason", len(refused))
        return born

    def send(self, file: Path, results: Path) -> None:
        """As the factory does it. The key goes by the environment, which other users of the machine do not see."""
        command = ["-m", "tools.batch", str(file), "--label", LABEL, "--host", supervisor.EDGE_URL]
        command += ["--ca", str(self.stage.sandbox.tls_root.absolute()), "--results", str(results), "--every", "0.5"]
        self.stage.line("factory", f"python -m tools.batch {file.name} --label {LABEL} --host … --ca …")
        key = {"BIRTHCERT_FUNCTION_KEY": self.stage.sandbox.credentials.function_key, "NO_PROXY": "*", "no_proxy": "*"}
        is_over = self.over_after(BATCH_WITHIN)
        with subprocess.Popen([sys.executable, *command], cwd=supervisor.REPOSITORY, env=os.environ | key) as tool:
            while tool.poll() is None:
                if is_over():
                    tool.terminate()
                    raise DeviceError(f"the batch was not done within {BATCH_WITHIN:.0f} s")
                time.sleep(0.1)
        self.stage.require(tool.returncode == 1 and results.is_file(), f"tools.batch ended with {tool.returncode}")

    def over_after(self, seconds: float) -> Callable[[], bool]:
        end = time.monotonic() + seconds
        return lambda: self.stage.given_up or time.monotonic() > end

    def authorities(self) -> list[x509.Certificate]:
        context = device.tls_context(self.stage.sandbox.tls_root, None)
        return device.certificates("cacerts", device.call(context, "GET", f"{EST_URL}/cacerts"))

    def arrive(self, born: list[Identity]) -> None:
        text = (
            f"All {len(born)} devices are switched on, {fleet.AT_ONCE} at a time. Each registers with DPS, and sends "
            "its hub one message over HTTPS."
        )
        self.stage.chapter(3, "DPS and the hubs", text)
        progress = Progress(len(born), "devices registered with DPS, and let in by their hubs", self.stage.timeline.out)
        arrived = fleet.arrive(born, self.stage.sandbox.tls_root, progress, self.over_after(ARRIVE_WITHIN))
        self.stage.require(not arrived.refused, "; ".join(arrived.refused[:3]))
        self.stage.require(not arrived.left_out, f"{arrived.left_out} devices were not let in in {ARRIVE_WITHIN:.0f} s")
        self.heard(list(arrived.hubs))
        self.counted("registered with DPS and let in by their hubs", len(arrived.hubs))
        for name, count in sorted(Counter(map(short_name, arrived.hubs.values())).items()):
            self.counted(f"  in {name}", count)

    def heard(self, names: list[str]) -> None:
        """The hubs' events go to Birthcert at their own pace; a device that comes next waits for them."""
        missing, is_over, seen = {f"devices/{name}" for name in names}, self.over_after(HEARD_WITHIN), 0
        progress = Progress(len(missing), "hub events that Birthcert has taken", self.stage.timeline.out)
        while missing and not is_over():
            for entry in self.stage.sandbox.world.journal.since(seen):
                seen = entry["n"]
                if entry["event"] == "event delivery" and entry["outcome"] in range(200, 300):
                    missing.discard(entry["subject"])
            progress.reach(len(names) - len(missing))
            time.sleep(0.2)
        progress.end()
        if missing:
            self.stage.line("Event Grid", f"has {len(missing)} events still under way")

    def passcode(self, name: str) -> tuple[str, Identity]:
        text = (
            "One device has missed the batch. The worker at the line types a passcode in, which is good for one birth."
        )
        self.stage.chapter(4, "One-time passcode", text)
        given = self.stage.operator(f"/api/devices/{name}/passcode", {"valid_hours": 1}).json()
        key, root = device.new_key("ec-p256"), self.stage.sandbox.tls_root
        identity = device.enroll(EST_URL, root, name, key, passcode=f"{given['user']}:{given['passcode']}")
        self.stage.line("edge → device", f"200  {described(identity.leaf)}")
        self.connected(identity)
        self.counted("born by one-time passcode", 1)
        return "by passcode", identity

    def elsewhere(self, number: int, way: Way, name: str) -> tuple[str, Identity] | None:
        text = (
            f"A device asks DigiCert ONE itself, over {way.name}. Birthcert hears of it when the hub has it, finds its "
            "certificate on DigiCert ONE's list, and adopts it."
        )
        self.stage.chapter(number, way.name, text)
        missing = way.missing()
        if missing:
            self.stage.line("device", f"not shown here: {missing}")
            self.counted(f"born over {way.name}", "not shown")
            return None
        identity = way.enroll(self.stage.sandbox.directory, name)
        self.stage.line("DigiCert ONE → device", described(identity.leaf))
        self.connected(identity)
        self.stage.eventually(lambda: self.is_adopted(identity), "Birthcert did not adopt the certificate")
        self.stage.line("Birthcert", f"has adopted {serial_of(identity.leaf)}")
        self.counted(f"born over {way.name}, and adopted", 1)
        return f"over {way.name}", identity

    def connected(self, identity: Identity) -> None:
        answer = device.register(ports.DPS_HOST, ports.DPS_ID_SCOPE, self.stage.sandbox.tls_root, identity)
        self.stage.line("DPS → device", f"{answer.status} {hub_name(answer.hub)} {answer.reason}".rstrip())
        self.stage.require(answer.status == "assigned", f"DPS says {answer.status}: {answer.reason}")
        self.stage.require(self.let_in(identity, "its certificate"), "the hub refused the device")

    def let_in(self, identity: Identity, shown: str) -> bool:
        hub = self.stage.sandbox.stand_ins.dps.registrations[identity.name.lower()].assigned_hub or ""
        admitted, reason = device.connect(hub, self.stage.sandbox.tls_root, identity)
        self.stage.line(f"device → {short_name(hub)}", f"telemetry with {shown}: {reason or 'accepted'}")
        return admitted

    def is_adopted(self, identity: Identity) -> bool:
        view = self.stage.api("GET", f"/api/devices/{identity.name}").json()
        sources = {one["serial"]: one["source"] for one in view.get("certificates", [])}
        settled = view.get("rotation", {}).get("state") == "settled"
        return settled and sources.get(serial_of(identity.leaf)) == "adopted"

    def renewed(self, how: str, identity: Identity) -> None:
        text = f"The device that was born {how} renews its certificate at Birthcert, and is never refused meanwhile."
        self.stage.chapter(5 + len(self.ways), "Renewal over EST", text)
        key, root = device.new_key("ec-p256"), self.stage.sandbox.tls_root
        fresh = device.enroll(EST_URL, root, identity.name, key, identity=identity)
        self.stage.line("edge → device", f"200  {described(fresh.leaf)}")
        for one, shown in ((identity, "the old certificate"), (fresh, "the new certificate")):
            self.stage.require(self.let_in(one, shown), f"the hub refused {shown}")
        self.counted(f"renewed over EST, born {how}", 1)

    def revoked(self, identity: Identity) -> None:
        self.stage.chapter(6 + len(self.ways), "Revocation", f"{identity.name}, of the batch, is stolen on its way.")
        self.stage.follows = partial(is_of, (identity.name,))
        self.stage.operator(f"/api/devices/{identity.name}/revoke", {"reason": "keyCompromise", "comment": "stolen"})
        found = self.stage.sandbox.stand_ins.ca.by_serial(serial_of(identity.leaf))
        self.stage.require(found is not None, "DigiCert ONE does not know the certificate")
        self.stage.eventually(lambda: found is not None and found.revocation, "DigiCert ONE was not told")
        answer = device.register(ports.DPS_HOST, ports.DPS_ID_SCOPE, self.stage.sandbox.tls_root, identity)
        self.stage.line("DPS → device", f"{answer.status} {answer.reason}".rstrip())
        self.stage.require(answer.status != "assigned", "DPS let the device in")
        self.stage.require(not self.let_in(identity, "the revoked certificate"), "the hub let the device in")
        key = device.new_key("ec-p256")
        try:
            device.enroll(EST_URL, self.stage.sandbox.tls_root, identity.name, key, identity=identity)
        except DeviceError as error:
            self.stage.line("edge → device", str(error))
        else:
            raise DeviceError("EST gave the device another certificate")
        self.counted("revoked, and refused by EST, DPS, hub and DigiCert ONE", 1)

    def closing(self) -> None:
        width = max(len(what) for what, _ in self.table)
        self.stage.timeline.say("\n" + "\n".join(f"   {what:<{width}}  {number:>9}" for what, number in self.table))


def is_of(names: tuple[str, ...], entry: Entry) -> bool:
    """Whether an entry of the journal tells of one of these devices."""
    return any(name in str(value) for value in entry.values() for name in names)


def tell(stage: Stage) -> str:
    """What has happened, in a few words."""
    begin = time.monotonic()
    Factory(stage).tell()
    return f"the devices of one line were born, by batch and one by one, in {time.monotonic() - begin:.0f} s."
