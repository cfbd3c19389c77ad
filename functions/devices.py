"""`/api/devices` for factories: the manifest of devices that will come, and their one-time passcodes."""

from collections.abc import Callable

import azure.functions as func

from functions import api
from shared.core import births, manifest
from shared.flows.application import Application


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    made = func.Blueprint()

    def add(name: str, route: str, serve: api.Serve) -> None:
        handler = api.handler(application, name, serve)
        routed = made.route(route=route, methods=["POST"], auth_level=func.AuthLevel.FUNCTION)(handler)
        made.function_name(name)(routed)

    add("devices_manifest", "api/devices", _manifest)
    add("devices_passcode", "api/devices/{id}/passcode", _passcode)
    return made


async def _manifest(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    media, content = api.body(req, "text/csv", "application/jsonl", "application/x-ndjson")
    label, caller = births.label(req.params), api.caller(app, req)
    rows = manifest.read(content, is_csv=media == "text/csv")
    record |= {"caller": caller, "rows": len(rows)}
    entered = await app.manifest.enter(rows, label)
    counts: dict[str, int] = {one: sum(row.outcome == one for row in entered) for one in manifest.OUTCOMES}
    record |= {"refused": counts["refused"]}
    shown = [births.row_view(one.row, one.outcome, one.reason) for one in entered]
    return api.json_response(200, {"outcomes": births.spelled(counts), "rows": shown})


async def _passcode(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    """Never idempotent: the passcode is shown once. The same request again makes another, and ends this one."""
    name = api.device(req, record)
    wanted = births.passcode(api.json_body(req))
    caller = api.caller(app, req)
    made = await app.enroll.passcodes.make(name, wanted.label, wanted.valid)
    record |= {"device_id": made.device_id, "caller": caller, "comment": wanted.comment}
    shown = {
        "device_id": made.device_id,
        "user": made.device_id,
        "passcode": made.text,
        "expires": made.expires.isoformat(),
    }
    return api.json_response(201, shown)
