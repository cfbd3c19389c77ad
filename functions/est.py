"""EST (RFC 7030) at `/.well-known/est[/LABEL]/OPERATION`: decode the request, call the flow, encode the answer."""

from collections.abc import Callable
from urllib.parse import urlsplit

import azure.functions as func
from cryptography import x509

from functions import http
from shared import telemetry
from shared.core import csr, est, principal
from shared.core.errors import Malformed, NotFound, Refusal, TooLarge
from shared.core.est import Operation, Route
from shared.flows.application import Application
from shared.flows.enroll import Enrolled, Presented, Submission, Waiting

# App Service adds the path as the client sent it; the host itself shows it decoded and normalised.
RAW_URL = "X-WAWS-Unencoded-URL"


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    """Every path and method of EST, because the host answers a wrong method with 404, and RFC 9110 wants 405."""
    made = func.Blueprint()

    async def serve(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        request_id = context.invocation_id
        try:
            app = application()
        except Refusal as refusal:
            http.log_refusal("est", refusal, {"request_id": request_id})
            return http.refused(refusal, request_id)
        return await answer(app, req, request_id)

    @made.function_name("est")
    @made.route(route=".well-known/est/{*path}", auth_level=func.AuthLevel.ANONYMOUS)
    async def est_function(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        return await serve(req, context)

    @made.function_name("est_prefixed")
    @made.route(route="{label}/.well-known/est/{*path}", auth_level=func.AuthLevel.ANONYMOUS)
    async def est_prefixed_function(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        return await serve(req, context)

    return made


async def answer(app: Application, req: func.HttpRequest, request_id: str) -> func.HttpResponse:
    """The answer to one EST request, with its one span and its one audit record."""
    with telemetry.flow("est"):
        return await _answered(app, req, request_id)


async def _answered(app: Application, req: func.HttpRequest, request_id: str) -> func.HttpResponse:
    began = app.seconds()
    record: dict[str, object] = {"request_id": request_id}
    try:
        route = _route(req)
        record |= {"operation": route.operation.value, "label": route.label or app.enroll.profiles.default}
        app.enroll.profile(route.label)  # an unknown label is not found, whatever was asked of it
        est.check_method(route.operation, req.method)
        response, outcome = await _serve(app, route, req)
    except Refusal as refusal:
        response = http.refused(refusal, request_id)
        record |= {"status": response.status_code, "ms": _milliseconds(app, began)}
        http.log_refusal("est", refusal, record)
        return response
    except Exception:  # noqa: BLE001 - our own mistake: it is logged whole, and the caller learns the request id
        telemetry.LOGGER.exception("request %s failed", request_id)
        response, outcome = http.broken(request_id), {"outcome": "InternalError"}
    telemetry.about(str(outcome.get("device_id", "")), str(outcome["outcome"]))
    telemetry.event("est", {**record, **outcome, "status": response.status_code, "ms": _milliseconds(app, began)})
    return response


def _route(req: func.HttpRequest) -> Route:
    """The route that the path names, both as the host shows it and, where it is told, as the client sent it."""
    route = est.route(urlsplit(req.url).path)
    raw = req.headers.get(RAW_URL)
    if raw is not None and est.route(raw.partition("?")[0]) != route:
        raise NotFound(est.NO_PATH)
    return route


async def _serve(app: Application, route: Route, req: func.HttpRequest) -> tuple[func.HttpResponse, dict[str, object]]:
    match route.operation:
        case Operation.CACERTS:
            # RFC 7030 §4.1.2: no authentication; Azure's client sends credentials all the same, and nobody looks.
            certificates = await app.enroll.ca_certificates(route.label)
            body = est.certs_only(list(certificates))
            return _encoded(app, route.label, body, est.CA_CERTS), {"outcome": "CaCertificates"}
        case Operation.CSRATTRS:
            body = est.csr_attributes(app.enroll.profile(route.label).request)
            return _encoded(app, route.label, body, est.CSR_ATTRIBUTES), {"outcome": "CsrAttributes"}
        case _:
            return await _enroll(app, route, req)


async def _enroll(app: Application, route: Route, req: func.HttpRequest) -> tuple[func.HttpResponse, dict[str, object]]:
    presented = Presented(await http.client_certificate(app, req), req.headers.get("Authorization", ""))
    outcome = await app.enroll.enroll(route.label, _submission(route, presented, req))
    fields: dict[str, object] = {"device_id": outcome.device_id, "principal": principal.kind(outcome.principal)}
    match outcome:
        case Enrolled(issued=issued):
            leaf = issued.certificate
            body = est.certs_only([x509.load_der_x509_certificate(leaf.der)])
            response = _encoded(app, route.label, body, est.CERTS_ONLY)
            return response, {**fields, "outcome": "Enrolled", "serial": leaf.serial, "not_after": leaf.not_after}
        case Waiting(retry_after=seconds):
            # RFC 7030 §4.2.3: Retry-After must be there.
            response = http.text(202, "the CA has not decided yet", {"Retry-After": str(min(max(10, seconds), 86_400))})
            return response, {**fields, "outcome": "Pending"}


def _submission(route: Route, presented: Presented, req: func.HttpRequest) -> Submission:
    body = req.get_body()
    if not body and "transfer-encoding" in req.headers:
        # The Functions host hands a chunked body on as an empty one; App Service's front end gives it a length.
        raise Malformed("the body did not arrive: send it with Content-Length instead of chunked")
    if len(body) > csr.MAX_BODY:
        raise TooLarge(f"the request body is over {csr.MAX_BODY} bytes")
    content_type = req.headers.get("Content-Type", "")
    if "," in content_type:
        raise Malformed("send one Content-Type header")
    return Submission(route.operation, presented, content_type, req.headers.get("Content-Encoding", ""), body)


def _encoded(app: Application, label: str, content: bytes, media: str) -> func.HttpResponse:
    """RFC 8951 deprecates Content-Transfer-Encoding; Bouncy Castle 1.72 cannot read an answer without it."""
    body = est.encode(content, lines=app.enroll.profile(label).base64_lines)
    return http.bytes_response(200, body, {"Content-Type": media, "Content-Transfer-Encoding": "base64"})


def _milliseconds(app: Application, began: float) -> int:
    return round((app.seconds() - began) * 1000)
