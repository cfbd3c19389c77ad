"""What a batch looks like to who asks about it, and its results as a ZIP archive."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core import batch as rules
from shared.core.batch import OUTCOMES, Batch
from shared.core.errors import Malformed
from shared.core.names import is_plain
from shared.core.ops import MAX_COMMENT

# How many are listed, the newest first.
MOST: Final = 100
_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)


def wanted(parameters: Mapping[str, str]) -> tuple[str, str]:
    """Label and comment of a new batch. Raises Malformed."""
    unknown = sorted(set(parameters) - {"label", "comment", "code"})
    if unknown:
        raise Malformed("the query may hold label and comment, and nothing else")
    label, comment = parameters.get("label", ""), parameters.get("comment", "")
    if not label:
        raise Malformed("the query must hold the label of a profile: ?label=…")
    if len(comment) > MAX_COMMENT or not is_plain(comment):
        raise Malformed(f"the comment must be one line of plain text of at most {MAX_COMMENT} characters")
    return label, comment


def view(batch: Batch, now: datetime) -> dict[str, object]:
    """Progress as people ask for it: how many, how fast, until when."""
    end = expected_end(batch, now)
    return {
        "id": batch.id,
        "label": batch.label,
        "format": batch.format,
        "state": batch.state,
        "caller": batch.caller,
        "comment": batch.comment,
        "created": batch.created.isoformat(),
        "begun": batch.begun.isoformat() if batch.begun else None,
        "changed": batch.changed.isoformat() if batch.changed else None,
        "bytes": batch.size,
        "rows": batch.rows or (batch.cursor.row if batch.state == "done" else None),
        "rows_done": rules.rows_done(batch),
        "share": round(rules.share(batch), 4),
        "outcomes": {one.replace(" ", "_"): rules.outcomes(batch).get(one, 0) for one in OUTCOMES},
        "rows_per_minute": round(rate(batch), 1),
        "expected_end": end.isoformat() if end else None,
        "round": batch.round,
        "trouble": batch.trouble or _waiting(batch) or None,
    }


def _waiting(batch: Batch) -> str:
    """What a batch waits for that has gone through its file."""
    if batch.round == 1 or batch.state != "running" or batch.cursor.row or batch.due is None:
        return ""
    pending = rules.outcomes(batch).get("pending", 0)
    return f"{pending} of {batch.rows} rows wait for DigiCert ONE; asked again at {batch.due.isoformat('T', 'minutes')}"


def rate(batch: Batch) -> float:
    """Rows a minute since the batch last began to run; 0 while nothing is known."""
    if batch.lap is None or batch.changed is None or batch.changed <= batch.lap.at or batch.round > 1:
        return 0.0
    return max(0, batch.cursor.row - batch.lap.row) / ((batch.changed - batch.lap.at).total_seconds() / 60)


def expected_end(batch: Batch, now: datetime) -> datetime | None:
    """When the batch will be done if it goes on as it has; None when nothing tells."""
    if batch.state != "running" or batch.lap is None or batch.changed is None or batch.round > 1:
        return None
    done = rules.share(batch)
    progress = done - batch.lap.share
    if progress <= 0:
        return None
    return max(now, batch.changed + (batch.changed - batch.lap.at) * ((1 - done) / progress))


def zipped(lines: bytes, chain: Sequence[x509.Certificate]) -> bytes:
    """The results with each certificate in a file of its own, and the CA certificates beside them. Slow."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        _put(archive, "results.jsonl", lines)
        _put(archive, "chain.pem", b"".join(one.public_bytes(Encoding.PEM) for one in chain))
        for line in lines.splitlines():
            result = json.loads(line)
            if "certificate" in result:
                # A device id is letters, digits and : . _ -, of which a colon is no part of a file name on Windows.
                name = str(result["device_id"]).replace(":", "_")
                _put(archive, f"certificates/{result['row']:07d}-{name}.pem", result["certificate"].encode())
    return held.getvalue()


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """The same results make the same archive: no time of today."""
    archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content, zipfile.ZIP_DEFLATED)
