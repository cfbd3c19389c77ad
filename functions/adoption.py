"""Certificates of other births: imported under `/api`, or seen by DPS or a hub and looked up by the queue."""

import base64
from collections.abc import Callable

import azure.functions as func

from functions import api
from shared import telemetry
from shared.core import births
from shared.core.adoption import Seen
from shared.core.errors import Malformed
from shared.flows.adopt import Adopted
from shared.flows.application import Application

JSON_LINES = ("application/jsonl", "application/x-ndjson")
PEM = ("application/x-pem-file", "application/pem-certificate-chain")


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    made = func.Blueprint()
    handler = api.handler(application, "certificates_import", _import)
    routed = made.route(route="api/certificates/import", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)(handler)
    made.function_name("certificates_import")(routed)

    @made.function_name("adopt")
    @made.queue_trigger(arg_name="message", queue_name="adopt", connection="STORAGE")
    async def adopt(message: func.QueueMessage) -> None:
        wanted = message.get_json()
        seen = Seen(
            label=wanted["label"],
            common_name=wanted["commonName"],
            thumbprint=wanted["thumbprint"],
            certificate=base64.b64decode(wanted["certificate"], validate=True),
            hub=wanted["hub"],
        )
        with telemetry.flow("adopt"):
            found = await application().adopt.look_up(seen)
        fields = {"device_id": seen.common_name, "hub": seen.hub, "thumbprint": seen.thumbprint}
        if isinstance(found, Adopted):
            telemetry.event("adopt", {**fields, "outcome": found.outcome, "serial": found.serial})
        else:
            telemetry.event("adopt", {**fields, "outcome": "not taken", "reason": found.reason})

    return made


async def _import(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    media, content = api.body(req, *JSON_LINES, *PEM)
    label, caller = births.label(req.params), api.caller(app, req)
    rows = births.imported(content, is_pem=media in PEM)
    record |= {"caller": caller, "rows": len(rows)}
    if not label:
        raise Malformed("the query must hold the label of a profile: ?label=…")
    taken = await app.adopt.take_all(app.enroll.profile(label), rows)
    counts: dict[str, int] = {}
    for one in taken:
        counts[one.outcome] = counts.get(one.outcome, 0) + 1
    record |= {"refused": counts.get("refused", 0)}
    shown = [{**births.row_view(one.row, one.outcome, one.reason), "serial": one.serial or None} for one in taken]
    return api.json_response(200, {"outcomes": births.spelled(counts), "rows": shown})
