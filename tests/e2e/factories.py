"""A factory's system on the wire: files of signing requests, and what comes back for them."""

import base64
import csv
import io
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from sandbox import device
from sandbox.device import Identity, Key
from tests.e2e.est import eventually
from tests.e2e.operators import JSON, Operator, read
from tests.e2e.wire import Answer

type Json = dict[str, Any]
type Row = tuple[str, str]

CSV: Final = "text/csv"
ENDED: Final = ("done", "failed", "cancelled", "paused")


@dataclass(frozen=True)
class Line:
    """Devices of one production line, with the keys that stay in them."""

    keys: Mapping[str, Key]

    @property
    def rows(self) -> list[Row]:
        return [(name, encoded(name, key)) for name, key in self.keys.items()]

    def has(self, results: Sequence[Json], chain: Sequence[x509.Certificate] = ()) -> dict[str, Identity]:
        """The devices with the certificates that came for them, each for its own key."""
        found = {}
        for one in results:
            if one["outcome"] != "refused":
                leaf = x509.load_pem_x509_certificate(one["certificate"].encode())
                key = self.keys[one["device_id"]]
                assert leaf.public_key() == key.public_key()
                found[one["device_id"]] = Identity(key, (leaf, *chain))
        return found


def line(name: str, count: int) -> Line:
    return Line({f"{name}-{number:02d}": device.new_key("ec-p256") for number in range(count)})


def encoded(name: str, key: Key) -> str:
    return base64.b64encode(device.request(name, key)).decode()


def table(rows: Sequence[Row]) -> bytes:
    held = io.StringIO()
    csv.writer(held).writerows([("device_id", "csr"), *rows])
    return held.getvalue().encode()


def json_lines(rows: Sequence[Row]) -> bytes:
    return b"".join(json.dumps({"device_id": name, "csr": csr}).encode() + b"\n" for name, csr in rows)


@dataclass(frozen=True)
class Factory:
    operator: Operator

    def upload(self, body: bytes, media: str = CSV, label: str = "rest", key: str = "") -> Answer:
        headers = [("Content-Type", media), ("Idempotency-Key", key or secrets.token_hex(8))]
        return self.operator.send("POST", f"/api/batches?label={label}", body, headers)

    def begin(self, body: bytes, media: str = CSV, label: str = "rest") -> str:
        """The id of a batch that runs, or waits for its blocks."""
        answer = self.upload(body, media, label)
        assert answer.status in (201, 202), answer.text
        batch = read(answer)
        assert answer.header("Location") == f"/api/batches/{batch['id']}"
        return str(batch["id"])

    def steer(self, ident: str, deed: str, content: object = None) -> Answer:
        return self.operator.post(f"/api/batches/{ident}/{deed}", content)

    def look(self, ident: str) -> Json:
        return self.operator.get(f"/api/batches/{ident}")

    def ended(self, ident: str, seconds: float = 30) -> Json:
        found = eventually(lambda: (batch := self.look(ident))["state"] in ENDED and batch, seconds)
        assert found, self.look(ident)
        return dict(found)

    def put(self, ident: str, number: int, block: bytes) -> Answer:
        octets = [("Content-Type", "application/octet-stream")]
        return self.operator.send("PUT", f"/api/batches/{ident}/blocks/{number}", block, octets)

    def results(self, ident: str) -> list[Json]:
        answer = self.operator.send("GET", f"/api/batches/{ident}/results")
        assert answer.status == 200, answer.text
        return [json.loads(text) for text in answer.body.splitlines()]

    def manifest(self, rows: Sequence[Mapping[str, str]], label: str = "factory") -> Json:
        body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        answer = self.operator.send(
            "POST", f"/api/devices?label={label}", body, [("Content-Type", "application/jsonl")]
        )
        assert answer.status == 200, answer.text
        return read(answer)

    def passcode(self, name: str, **content: object) -> Answer:
        return self.operator.send("POST", f"/api/devices/{name}/passcode", json.dumps(content).encode(), [JSON])
