"""The routes by which devices are born in other ways than EST, for the document of the operators' API."""

from typing import Any, Final, get_args

from functions.openapi_schemas import COUNT, FLAG, TEXT, TIME, Schema, array, enum, form, given, nullable, ref, said
from shared.core import batch, births, ops, table_rows

_COMMENT: Final[Schema] = {"type": "string", "maxLength": ops.MAX_COMMENT, "default": ""}
_LABEL: Final[Schema] = {
    "name": "label",
    "in": "query",
    "required": True,
    "description": "The profile to issue under",
    "schema": {"type": "string"},
}
_BATCH: Final[Schema] = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_STATE: Final[Schema] = {"name": "state", "in": "query", "schema": enum(*get_args(batch.State.__value__))}
_TABLE: Final = f"CSV with named columns or JSON Lines, at most {table_rows.MAX_ROWS} rows"
_OUTCOMES: Final[Schema] = {"type": "object", "additionalProperties": COUNT}

SCHEMAS: Final[dict[str, Schema]] = {
    "CertificateRequest": given(
        "device_id",
        "label",
        "csr",
        device_id=said(TEXT, "Which must be the common name of the request"),
        label=TEXT,
        csr=said(TEXT, "PKCS#10: PEM, or base64 of DER"),
        comment=_COMMENT,
    ),
    "IssuedCertificate": given(
        "device_id",
        "done",
        device_id=TEXT,
        done=said(FLAG, "false while DigiCert ONE has not decided"),
        serial=said(TEXT, "Lower-case hex"),
        not_after=TIME,
        certificate=said(TEXT, "PEM"),
        chain=said(TEXT, "The CA certificates of the label, PEM"),
    ),
    "Rows": form(
        outcomes=_OUTCOMES,
        rows=array(
            given(
                "row",
                "device_id",
                "outcome",
                row=COUNT,
                device_id=TEXT,
                outcome=TEXT,
                reason=TEXT,
                serial=nullable(TEXT),
            )
        ),
    ),
    "PasscodeRequest": given(
        label=said(TEXT, "For a device that is not known yet"),
        valid_hours={"type": "integer", "minimum": 1, "maximum": births.MAX_VALID_HOURS, "default": 72},
        comment=_COMMENT,
    ),
    "Passcode": form(
        device_id=TEXT,
        user=said(TEXT, "For HTTP Basic"),
        passcode=said(TEXT, "Shown this once; kept as a hash alone"),
        expires=TIME,
    ),
    "Note": given(comment=_COMMENT),
    "Start": given(
        bytes=said({"type": "integer", "minimum": 1}, "The length of the whole file: refused when the blocks differ"),
        comment=_COMMENT,
    ),
    "Batch": given(
        "id",
        "state",
        id=TEXT,
        label=TEXT,
        format=enum(*get_args(batch.Format.__value__)),
        state=enum(*get_args(batch.State.__value__)),
        caller=TEXT,
        comment=TEXT,
        created=TIME,
        begun=nullable(TIME),
        changed=nullable(TIME),
        bytes=COUNT,
        rows=nullable(COUNT),
        rows_done=said(COUNT, "How many rows have ended; in the first round also those that are pending"),
        share=said({"type": "number", "minimum": 0, "maximum": 1}, "How much of the file is done"),
        outcomes=said(_OUTCOMES, "In a later round those of the round before"),
        rows_per_minute={"type": "number"},
        expected_end=nullable(TIME),
        round=said(COUNT, "From the second on the file is gone through again for what was pending"),
        trouble=nullable(said(TEXT, "What it waits for, what keeps it from going on, or why it ended")),
        upload=said(form(location=TEXT, most_bytes=COUNT), "Where the blocks of the file go, while it is uploading"),
    ),
    "BatchList": form(batches=array(ref("Batch")), total=COUNT),
    "Block": form(batch=TEXT, block=COUNT, bytes=COUNT),
}

_MEDIA: Final = ("text/csv", "application/jsonl", "application/zip")
# Which answers an operation may give beside those that all writes do.
REFUSALS: Final = {"issue": "403 429 502 504"}
_DEEDS: Final = {
    "start": "The blocks are all there: make them the file, and begin",
    "pause": "Stop after the chunk that is being worked on",
    "resume": "Go on where it was paused",
    "cancel": "End it; what is issued stays, and so do its results",
}


def paths(device: Schema, key: Schema, caller: Schema) -> dict[str, dict[str, dict[str, Any]]]:
    """By path and method, without the problems that every route has."""
    return {
        "/api/certificates": {
            "post": _later(
                _post(
                    "issue",
                    "Issue one certificate for a signing request; the same request again gets the same certificate",
                    "CertificateRequest",
                    "IssuedCertificate",
                    caller,
                ),
                "DigiCert ONE has not decided yet: send the same again later",
            )
        },
        "/api/certificates/import": {
            "post": _upload(
                "import",
                f"Take certificates in that came by another way: PEM, or JSON Lines with `certificate`; at most "
                f"{table_rows.MAX_ROWS}",
                ("application/x-pem-file", "application/jsonl"),
                "Rows",
                _LABEL,
                caller,
            )
        },
        "/api/devices": {
            "post": _upload(
                "manifest",
                f"Announce devices: `device_id`, and `label`, `factory_thumbprint`, `hardware_serial`. {_TABLE}",
                ("text/csv", "application/jsonl"),
                "Rows",
                {**_LABEL, "required": False, "description": "For rows that name none"},
                caller,
            )
        },
        "/api/devices/{id}/passcode": {
            "post": _post(
                "passcode",
                "Make a one-time passcode; an earlier one ends",
                "PasscodeRequest",
                "Passcode",
                device,
                caller,
                status="201",
            )
        },
        "/api/batches": {
            "get": _answer("batches", "The batches, the newest first", "BatchList", _STATE),
            "post": _later(
                _upload(
                    "createBatch",
                    "Have a file of signing requests issued: CSV or JSON Lines with `device_id` and `csr`, or a ZIP of "
                    "DEVICE_ID.csr. An empty body makes a batch whose file comes in blocks",
                    _MEDIA,
                    "Batch",
                    _LABEL,
                    {"name": "comment", "in": "query", "schema": _COMMENT},
                    key,
                    caller,
                    status="201",
                ),
                "It has begun, or was begun before with the same key and file",
                "Location",
            ),
        },
        "/api/batches/{id}": {"get": _answer("batch", "How far a batch has come", "Batch", _BATCH)},
        "/api/batches/{id}/results": {"get": _results()},
        "/api/batches/{id}/blocks/{number}": {
            "put": _upload(
                "putBlock",
                "A part of the file; the same number again replaces it",
                ("application/octet-stream",),
                "Block",
                _BATCH,
                {"name": "number", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}},
            )
        },
        **{
            f"/api/batches/{{id}}/{deed}": {
                "post": _post(
                    f"{deed}Batch", summary, "Start" if deed == "start" else "Note", "Batch", _BATCH, key, caller
                )
            }
            for deed, summary in _DEEDS.items()
        },
    }


def _answer(ident: str, summary: str, schema: str, *parameters: Schema, status: str = "200") -> Schema:
    content = {"application/json": {"schema": ref(schema)}}
    return {
        "operationId": ident,
        "summary": summary,
        "parameters": list(parameters),
        "responses": {status: {"description": "As asked", "content": content}},
    }


def _post(ident: str, summary: str, body: str, schema: str, *parameters: Schema, status: str = "200") -> Schema:
    content = {"application/json": {"schema": ref(body)}}
    return {
        **_answer(ident, summary, schema, *parameters, status=status),
        "requestBody": {"required": True, "content": content},
    }


def _later(operation: Schema, description: str, *headers: str) -> Schema:
    """The answer of an operation that is not done yet, beside the one that it has."""
    responses: Any = operation["responses"]
    (answer,) = responses.values()
    shown: Schema = {name: {"schema": TEXT} for name in headers}
    begun = {**answer, "description": description, "headers": {**shown, "Retry-After": {"schema": COUNT}}}
    return {**operation, "responses": {**responses, "202": begun}}


def _upload(
    ident: str, summary: str, media: tuple[str, ...], schema: str, *parameters: Schema, status: str = "200"
) -> Schema:
    line, _, rest = summary.partition(": ")
    content: Schema = {one: {"schema": {"type": "string", "format": "binary"}} for one in media}
    made = _answer(ident, line, schema, *parameters, status=status)
    body: Schema = {"required": ident != "createBatch", "content": content}
    return {**made, **({"description": rest} if rest else {}), "requestBody": body}


def _results() -> Schema:
    after: Schema = {"name": "after", "in": "query", "schema": {"type": "integer", "minimum": 0, "default": 0}}
    shape: Schema = {"name": "format", "in": "query", "schema": enum("jsonl", "zip")}
    link = said({"schema": {"type": "string"}}, 'RFC 8288: rel="next" leads to the rest')
    binary: Schema = {"schema": {"type": "string", "format": "binary"}}
    return {
        "operationId": "results",
        "summary": "A line for each row that has ended, with its certificate or the reason",
        "parameters": [_BATCH, after, shape],
        "responses": {
            "200": {
                "description": "A part of the results",
                "headers": {"Link": link},
                "content": {"application/jsonl": binary, "application/zip": binary},
            }
        },
    }
