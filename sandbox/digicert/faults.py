"""Misbehaviour of a CA, played on request: certificates that a careful client must not hand on to a device."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox import pki
from sandbox.digicert.ca import Ca, Issued, Request, entry
from sandbox.digicert.errors import planned
from sandbox.web import FAULT, fault_kind

CERTIFICATE_FAULTS: Final = ("wrong_key", "other_issuer", "expired", "other_subject")


def issue(ca: Ca, request: Request, profile: str, kind: str, device: str = "") -> Issued:
    """The certificate that was asked for, or the bad one that the fault `kind` stands for."""
    match kind:
        case "wrong_key":
            request = replace(request, public_key=ec.generate_private_key(ec.SECP256R1()).public_key())
        case "other_subject":
            request = replace(request, subject=pki.common_name("somebody-else"))
        case "expired":
            return ca.issue(request, profile, device=device, ended=timedelta(days=1))
        case "other_issuer":
            now = ca.world.clock.now()
            rogue = pki.rogue_authority(ca.hierarchy.ica)
            certificate = ca.sign(rogue, request, now - pki.CLOCK_SKEW, now + ca.lifetime)
            return entry(certificate, profile, ca.cas[-1].id, device)  # the real CA knows nothing of it
    return ca.issue(request, profile, device=device)


def before(request: web.Request, *playable: str) -> web.Response | None:
    """The answer of a fault that leaves the work undone; None when the work is to be done.

    `playable` are the faults that the caller plays itself. A fault that makes no sense at this request is a loud 501.
    """
    kind = fault_kind(request)
    if kind in ("", *playable):
        return None
    error = planned(kind)
    if error is not None:
        raise error
    if kind == "garbage":
        return web.Response(text="<html><body>Welcome</body></html>\n", content_type="text/html")
    text = f"the DigiCert ONE stand-in cannot play the fault {kind} at {request.method} {request.path}\n"
    return web.Response(status=501, text=text)


def pending(request: web.Request) -> web.Response:
    """RFC 7030, 4.2.3: come back after so many seconds."""
    seconds = max(1, round(request[FAULT].seconds))
    return web.Response(status=202, headers={"Retry-After": str(seconds)}, text="waiting for approval\n")
