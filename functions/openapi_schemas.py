"""The forms of what the operators' API reads and answers, as JSON Schema: core/ops.py, core/ops_views.py."""

from typing import Final, get_args

from shared.core import lifecycle, ops, ops_views, revocation, searching
from shared.core.fleet import MOST_RECENT, Block, Source
from shared.core.revocation import Reason

type Schema = dict[str, object]

TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def enum(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def array(items: Schema, most: int | None = None) -> Schema:
    return {"type": "array", "items": items, **({} if most is None else {"maxItems": most})}


def nullable(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


def said(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


def form(**properties: Schema) -> Schema:
    """An object that holds all of these and nothing else."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def given(*required: str, **properties: Schema) -> Schema:
    """An object that may hold these."""
    return {**form(**properties), "required": list(required)}


_REASONS: Final = tuple(one.value for one in Reason)
_FINAL_REASONS: Final = tuple(one for one in _REASONS if one != Reason.CERTIFICATE_HOLD.value)
_COMMENT: Final = said(
    {"type": "string", "maxLength": ops.MAX_COMMENT, "default": ""}, "One line of plain text, kept with the action"
)
_HEX: Final = said(TEXT, "Lower-case hex")

_CERTIFICATE: Final = {
    "serial": _HEX,
    "status": enum(*searching.STATUSES),
    "label": TEXT,
    "source": enum(*get_args(Source.__value__)),
    "digicert_id": nullable(TEXT),
    "thumbprint": said(TEXT, "SHA-256"),
    "thumbprint_sha1": TEXT,
    "subject": TEXT,
    "issuer": TEXT,
    "not_before": TIME,
    "not_after": TIME,
}

_DEVICE: Final = form(
    device_id=said(TEXT, "As it was first spelled; IoT Hub compares with case"),
    label=TEXT,
    created=TIME,
    block=form(
        state=enum(*(one.value or "none" for one in Block)),
        reason=nullable(TEXT),
        since=nullable(TIME),
    ),
    hub=nullable(said(TEXT, "The IoT Hub it was last seen in")),
    connection=form(connected=FLAG, last_seen=nullable(TIME)),
    rotation=said(
        form(
            state=enum(*get_args(ops_views.RotationState.__value__)),
            current=nullable(_HEX),
            latest=nullable(_HEX),
            since=nullable(TIME),
        ),
        "none: no certificate yet; unseen: never seen in a hub; settled: the newest certificate is in use; rotating: "
        "old and new are both let in, until the new one is proven or the grace is over; beside: the newest is let in "
        "beside the one in use, which stays",
    ),
    nudges=form(count=COUNT, last=nullable(TIME)),
    issued=said(form(day=nullable({"type": "string", "format": "date"}), count=COUNT), "Against the daily limit"),
    failure=nullable(said(form(reason=TEXT, at=TIME, address=TEXT), "Why DPS last refused the device")),
    passcode=nullable(
        said(
            form(expires=TIME, wrong_tries=COUNT, most_wrong_tries=COUNT, used=FLAG),
            "The latest one-time passcode, without itself",
        )
    ),
    certificates=said(array(ref("Certificate"), ops_views.MOST_CERTIFICATES), "The newest first"),
    certificates_total=COUNT,
    saga=nullable(said(ref("Saga"), "The latest block or restore")),
    events=said(array(ref("Event"), MOST_RECENT), "The last ones, the latest first"),
    events_unpublished=said(COUNT, "How many wait for the topic; old ones among them may not be shown"),
)

_STEP: Final = form(
    name=enum(*get_args(revocation.StepName.__value__)),
    done_at=nullable(TIME),
    failures=COUNT,
    error=nullable(said(TEXT, "Why it last failed")),
)

SCHEMAS: Final[dict[str, Schema]] = {
    "Certificate": form(**_CERTIFICATE),
    "ListedCertificate": form(device_id=TEXT, **_CERTIFICATE),
    "CertificateList": form(
        certificates=array(ref("ListedCertificate"), searching.MAX_PAGE),
        source=said(
            enum("due index", "whole ledger"),
            "due index: certificates still to be renewed, of devices that are not blocked; whole ledger: a full scan",
        ),
        continuation=nullable(said(TEXT, "For the next page of the same search; null at the end")),
    ),
    "Device": _DEVICE,
    "Saga": form(
        id=TEXT,
        verb=enum(*get_args(revocation.Verb.__value__)),
        reason=enum(*_REASONS),
        caller=TEXT,
        comment=TEXT,
        begun=TIME,
        done=FLAG,
        steps=array(_STEP),
    ),
    "SagaList": form(
        sagas=array(form(device_id=TEXT, saga=ref("Saga"))),
        complete=said(FLAG, "false when there are more than are looked at in one go"),
    ),
    "Event": form(
        id=TEXT,
        kind=enum(*get_args(lifecycle.Kind.__value__)),
        time=TIME,
        serial=nullable(said(TEXT, "Of the certificate that it is about; lower-case hex")),
        published=said(FLAG, "false while it waits for the topic"),
    ),
    "FinalAction": given("reason", reason=enum(*_FINAL_REASONS), comment=_COMMENT),
    "Action": given(reason=enum(*_REASONS), comment=_COMMENT),
    "Blocking": form(device_id=TEXT, saga=ref("Saga"), done=FLAG),
    "Renewal": form(
        device_id=TEXT,
        serial=said(TEXT, "Of the certificate that is to be renewed"),
        done=said(FLAG, "The device has a newer one"),
    ),
    "PoisonCounts": form(queues=array(form(queue=TEXT, messages=said(COUNT, "About; Storage counts roughly")))),
    "ReplayRequest": given(limit={"type": "integer", "minimum": 1, "maximum": ops.MAX_REPLAY}, comment=_COMMENT),
    "Replay": form(queue=TEXT, replayed=COUNT),
    "Document": said({"type": "object"}, "OpenAPI 3.1"),
    "Problem": said(form(type=TEXT, title=TEXT, status=COUNT, detail=TEXT, instance=TEXT), "RFC 9457"),
}
