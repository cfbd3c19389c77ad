"""`python -m tools.batch FILE`: have a file of signing requests issued, with a progress bar, and fetch the results.

FILE is CSV or JSON Lines with `device_id` and `csr`, or a ZIP of requests named DEVICE_ID.csr. The same file again is
the same batch: the command can be stopped and started at any time, and nothing is issued twice.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from tools.api import Api, RefusedError, connect, fail
from tools.bar import Bar

MEDIA: Final = {".csv": "text/csv", ".jsonl": "application/jsonl", ".ndjson": "application/x-ndjson"}
MEDIA_ZIP: Final = "application/zip"
_WAITING: Final = ("running", "uploading")
_PART: Final = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    wanted = _parser().parse_args(arguments)
    media = MEDIA_ZIP if wanted.file.suffix.lower() == ".zip" else MEDIA.get(wanted.file.suffix.lower())
    if media is None or not wanted.file.is_file():
        print(f"{wanted.file}: must be a file that ends with {', '.join(MEDIA)} or .zip", file=sys.stderr)
        return 2
    try:
        api = connect(wanted.host, wanted.key_file, wanted.ca)
        batch = _sent(api, wanted.file, media, wanted.label)
        print(f"batch {batch['id']}", file=sys.stderr)
        batch = _watched(api, batch, wanted.every)
        written = _fetched(api, batch["id"], wanted.results or wanted.file.with_suffix(".results.jsonl"))
    except RefusedError as error:
        return fail(error)
    except KeyboardInterrupt:
        print("\nthe batch goes on without us; start the same command again to watch it", file=sys.stderr)
        return 130
    return _closed(batch, written)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.batch", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="a .csv, .jsonl or .zip file")
    parser.add_argument("--host", required=True, help="the host of the function app")
    parser.add_argument("--label", required=True, help="the profile to issue under")
    parser.add_argument("--key-file", type=Path, help="a file with the function key; default: BIRTHCERT_FUNCTION_KEY")
    parser.add_argument("--ca", type=Path, help="PEM of the CA of the host, where it is a private one")
    parser.add_argument("--results", type=Path, help="where to put the results; default FILE.results.jsonl")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two looks (default 2)")
    return parser


def _sent(api: Api, file: Path, media: str, label: str) -> dict[str, Any]:
    """The batch of this file: begun now, or found as it is. A large file goes in blocks."""
    digest = hashlib.sha256(label.encode() + b"\0")
    with file.open("rb") as stream:
        for part in iter(lambda: stream.read(_PART), b""):
            digest.update(part)
    headers = {"Content-Type": media, "Idempotency-Key": f"file-{digest.hexdigest()}"}
    path = f"/api/batches?label={label}"
    batch = api.json("POST", path, b"", headers)
    if batch["state"] != "uploading":
        return batch
    most = int(batch["upload"]["most_bytes"])
    bar, size = Bar(), file.stat().st_size
    with file.open("rb") as stream:
        for number, part in enumerate(_blocks(stream, most), 1):
            api.json("PUT", f"/api/batches/{batch['id']}/blocks/{number}", part, {"Content-Type": media})
            bar.show(min(1.0, number * most / size), f"sent, {size:,} bytes", last=number * most >= size)
    return _start(api, str(batch["id"]))


def _blocks(stream: BinaryIO, most: int) -> Iterator[bytes]:
    return iter(lambda: stream.read(most), b"")


def _start(api: Api, ident: str) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Idempotency-Key": f"start-{ident}"}
    return api.json("POST", f"/api/batches/{ident}/start", b"{}", headers)


def _watched(api: Api, batch: dict[str, Any], every: float) -> dict[str, Any]:
    bar = Bar()
    while batch["state"] in _WAITING:
        bar.show(float(batch["share"]), _text(batch))
        time.sleep(every)
        batch = api.json("GET", f"/api/batches/{batch['id']}")
    bar.show(float(batch["share"]), _text(batch), last=True)
    return batch


def _text(batch: dict[str, Any]) -> str:
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in batch["outcomes"].items() if count)
    parts = [counts or "no row yet", f"{batch['rows_per_minute']:,.0f} rows/min"]
    if batch["expected_end"]:
        parts.append(f"until about {batch['expected_end'][:16].replace('T', ' ')} UTC")
    if batch["trouble"]:
        parts.append(str(batch["trouble"]))
    return ", ".join(parts)


def _fetched(api: Api, ident: str, target: Path) -> Path:
    """All results, part by part (RFC 8288), into a file that is whole or not there."""
    unfinished = target.with_name(target.name + ".part")
    path: str | None = f"/api/batches/{ident}/results"
    with unfinished.open("wb") as file:
        while path:
            response = api.send("GET", path)
            file.write(response.content)
            path = response.links.get("next", {}).get("url")
    unfinished.replace(target)
    return target


def _closed(batch: dict[str, Any], written: Path) -> int:
    """A closing table. The exit status is 0 when every row has a certificate."""
    print(f"{batch['state']}: {batch['rows_done']:,} rows")
    for name, count in batch["outcomes"].items():
        print(f"  {name.replace('_', ' '):<16}{count:>9,}")
    print(f"results: {written}")
    refused = [json.loads(line) for line in written.open(encoding="utf-8") if '"outcome": "refused"' in line]
    for one in refused[:10]:
        print(f"  row {one['row']} {one['device_id']}: {one['reason']}")
    if len(refused) > 10:
        print(f"  … and {len(refused) - 10:,} more in the file")
    return 0 if batch["state"] == "done" and not refused else 1


if __name__ == "__main__":
    sys.exit(main())
