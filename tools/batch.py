"""`python -m tools.batch FILE`: have a file of signing requests issued, with a progress bar, and fetch the results.

FILE is CSV or JSON Lines with `device_id` and `csr`, or a ZIP of requests named DEVICE_ID.csr. The same file again is
the same batch: the command can be stopped and started at any time, and nothing is issued twice. The exit status is 0
when every row has its certificate, 1 when not or when the service refuses, 2 when the command is wrong.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote

from tools.api import Api, RefusedError, connect, fail
from tools.bar import Bar

MEDIA: Final = {".csv": "text/csv", ".jsonl": "application/jsonl", ".ndjson": "application/x-ndjson"}
MEDIA_ZIP: Final = "application/zip"
DEEDS: Final = ("pause", "resume", "cancel")
_WAITING: Final = ("running", "uploading")
_PART: Final = 1024 * 1024
# How often a request is sent before it is given up, and how many looks may fail one after the other.
_TRIES: Final = 5
_BLIND_LOOKS: Final = 100
_SHOWN: Final = 10


def main(arguments: Sequence[str] | None = None) -> int:
    wanted = _parser().parse_args(arguments)
    media = MEDIA_ZIP if wanted.file.suffix.lower() == ".zip" else MEDIA.get(wanted.file.suffix.lower())
    if media is None or not wanted.file.is_file() or not wanted.file.stat().st_size:
        endings = ", ".join(MEDIA)
        print(f"{wanted.file}: must be a file that is not empty and ends with {endings} or .zip", file=sys.stderr)
        return 2
    try:
        api = connect(wanted.host, wanted.key_file, wanted.ca)
    except RefusedError as error:
        return fail(error)
    return _run(api, media, wanted)


def _run(api: Api, media: str, wanted: argparse.Namespace) -> int:
    batch = None
    try:
        batch = _steered_as_wanted(api, media, wanted) if wanted.deed else _sent(api, media, wanted)
        print(f"batch {batch['id']}", file=sys.stderr)
        if wanted.deed in ("pause", "cancel"):
            print(f"{batch['state']}: {batch['rows_done']:,} rows are done")
            return 0
        batch = _watched(api, batch, wanted.every)
        written = _fetched(api, batch["id"], wanted.results or wanted.file.with_suffix(".results.jsonl"))
    except RefusedError as error:
        return fail(error)
    except KeyboardInterrupt:
        then = "watch" if batch else wanted.deed or "send"
        goes_on = "the batch goes on without us; " if batch else ""
        print(f"\n{goes_on}start the same command again to {then} it", file=sys.stderr)
        return 130
    return _closed(batch, written)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.batch", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="a .csv, .jsonl or .zip file")
    parser.add_argument("--host", required=True, help="the host of the function app")
    parser.add_argument("--label", required=True, help="the profile to issue under")
    parser.add_argument("--run", default="", help="a name that tells this batch from an earlier one of the same file")
    parser.add_argument("--key-file", type=Path, help="a file with the function key; default: BIRTHCERT_FUNCTION_KEY")
    parser.add_argument("--ca", type=Path, help="PEM of the CA of the host, where it is a private one")
    parser.add_argument("--results", type=Path, help="where to put the results; default FILE.results.jsonl")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two looks (default 2)")
    deeds = parser.add_mutually_exclusive_group()
    for deed in DEEDS:
        text = f"{deed} the batch of this file" + (", and watch it" if deed == "resume" else "")
        deeds.add_argument(f"--{deed}", action="store_const", const=deed, dest="deed", help=text)
    return parser


def _key(file: Path, media: str, wanted: argparse.Namespace) -> str:
    """The idempotency key of this file: the same file again is the same batch."""
    digest = hashlib.sha256(f"{wanted.label}\0{media}\0{wanted.run}\0".encode())
    with file.open("rb") as stream:
        for part in _blocks(stream, _PART):
            digest.update(part)
    return f"file-{digest.hexdigest()}"


def _steered_as_wanted(api: Api, media: str, wanted: argparse.Namespace) -> dict[str, Any]:
    """The batch of this file, which must be there: the id of a batch belongs to its key."""
    ident = f"b-{hashlib.sha256(_key(wanted.file, media, wanted).encode()).hexdigest()[:24]}"
    nothing = RefusedError(f"the file has not been sent yet: there is nothing to {wanted.deed}")
    try:
        batch = api.json("GET", f"/api/batches/{ident}")
    except RefusedError as error:
        raise (nothing if str(error).startswith("404:") else error) from error
    if batch["state"] == "uploading":
        raise nothing
    return _steered(api, batch, wanted.deed)


def _sent(api: Api, media: str, wanted: argparse.Namespace) -> dict[str, Any]:
    """The batch of this file: begun now, or found as it is."""
    file: Path = wanted.file
    headers = {"Content-Type": media, "Idempotency-Key": _key(file, media, wanted)}
    # The first word is tried once: who cannot be reached now is better told now.
    batch = api.json("POST", f"/api/batches?label={quote(wanted.label)}", b"", headers)
    if batch["state"] != "uploading":
        return batch
    most, size = int(batch["upload"]["most_bytes"]), file.stat().st_size
    bar = Bar()
    with file.open("rb") as stream:
        for number, block in enumerate(_blocks(stream, most), 1):
            api.json("PUT", f"/api/batches/{batch['id']}/blocks/{number}", block, {"Content-Type": media}, _TRIES)
            bar.show(min(1.0, number * most / size), f"sent, {size:,} bytes", last=number * most >= size)
    return _steered(api, batch, "start", bytes=size)


def _blocks(stream: BinaryIO, most: int) -> Iterator[bytes]:
    return iter(lambda: stream.read(most), b"")


def _steered(api: Api, batch: dict[str, Any], deed: str, **body: int) -> dict[str, Any]:
    """The key is new each time that the batch is in another state, so that it can be paused more than once."""
    key = f"{deed}-{batch['id']}-{batch['changed'] or batch['created']}"
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    return api.json("POST", f"/api/batches/{batch['id']}/{deed}", json.dumps(body).encode(), headers, _TRIES)


def _watched(api: Api, batch: dict[str, Any], every: float) -> dict[str, Any]:
    """Until it runs no more. Who looks may be unlucky for a while; the batch goes on."""
    bar, blind = Bar(), 0
    while batch["state"] in _WAITING:
        bar.show(float(batch["share"]), _text(batch))
        time.sleep(every)
        try:
            batch, blind = api.json("GET", f"/api/batches/{batch['id']}"), 0
        except RefusedError as error:
            blind += 1
            if not error.passing or blind > _BLIND_LOOKS:
                raise
            bar.show(float(batch["share"]), f"{error}; looking again")
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
    try:
        with unfinished.open("wb") as file:
            while path:
                response = api.send("GET", path, tries=_TRIES)
                file.write(response.content)
                path = response.links.get("next", {}).get("url")
        unfinished.replace(target)
    except OSError as error:
        raise RefusedError(f"the results cannot be written: {error}") from error
    return target


def _closed(batch: dict[str, Any], written: Path) -> int:
    """A closing table, and the exit status."""
    print(f"{batch['state']}: {batch['rows_done']:,} rows")
    for name, count in batch["outcomes"].items():
        print(f"  {name.replace('_', ' '):<16}{count:>9,}")
    if batch["trouble"]:
        print(f"trouble: {batch['trouble']}")
    if batch["state"] == "paused":
        print("go on with --resume")
    print(f"results: {written}")
    with written.open(encoding="utf-8") as lines:
        refused = [json.loads(line) for line in lines if '"outcome": "refused"' in line]
    for one in refused[:_SHOWN]:
        print(f"  row {one['row']} {json.dumps(one['device_id'])}: {one['reason']}")
    if len(refused) > _SHOWN:
        print(f"  … and {len(refused) - _SHOWN:,} more in the file")
    return 0 if batch["state"] == "done" and not refused else 1


if __name__ == "__main__":
    sys.exit(main())
