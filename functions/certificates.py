"""`/api/certificates` for operators and systems: one certificate for a device that cannot ask for it over EST."""

from collections.abc import Callable

import azure.functions as func
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from functions import api
from shared.core import births
from shared.core.est import Operation
from shared.core.fleet import LedgerCertificate
from shared.core.principal import Operator
from shared.flows.application import Application
from shared.flows.issue import Asked


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    made = func.Blueprint()
    handler = api.handler(application, "certificates_issue", _issue)
    routed = made.route(route="api/certificates", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)(handler)
    made.function_name("certificates_issue")(routed)
    return made


async def _issue(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    """The same key and names again get the same certificate, so that no Idempotency-Key is needed."""
    caller, wanted = api.caller(app, req), births.wanted(api.json_body(req))
    profile = app.enroll.profile(wanted.label)
    record |= {"device_id": wanted.device_id, "caller": caller, "comment": wanted.comment, "label": profile.label}
    operator = Operator(caller, wanted.device_id)
    asked = Asked(wanted.device_id, operator, Operation.SIMPLEENROLL, wanted.request, source="rest")
    outcome = await app.enroll.issue.issue(profile, asked)
    if not isinstance(outcome, LedgerCertificate):
        seconds = str(min(max(10, outcome.retry_after), 86_400))
        return api.json_response(202, {"device_id": wanted.device_id, "done": False}, {"Retry-After": seconds})
    made = outcome.certificate
    record |= {"serial": made.serial}
    chain = await app.enroll.ca_certificates(profile.label)
    leaf = x509.load_der_x509_certificate(made.der)
    shown = {
        "device_id": wanted.device_id,
        "done": True,
        "serial": made.serial,
        "not_after": made.not_after.isoformat(),
        "certificate": leaf.public_bytes(Encoding.PEM).decode(),
        "chain": "".join(one.public_bytes(Encoding.PEM).decode() for one in chain),
    }
    return api.json_response(200, shown)
