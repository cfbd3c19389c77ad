"""Stand-in for DigiCert ONE: EST, REST, SCEP, CMPv2 and ACME of IoT Trust Manager, CA Manager, CRLs, over one CA."""

from typing import Final

from aiohttp import web

from sandbox.credentials import Credentials
from sandbox.digicert import acme, ca_manager, cmp, crl, est, inventory, rest, scep
from sandbox.digicert.access import Access, access
from sandbox.digicert.ca import EST_PROFILE, REST_PROFILE, SERVICE, Ca
from sandbox.web import application
from sandbox.world import World

__all__ = ["ACCESS", "EST_PROFILE", "REST_PROFILE", "SERVICE", "WITHOUT_TLS", "Access", "Ca", "app"]

ACCESS: Final = web.AppKey("access", Access)
WITHOUT_TLS: Final = web.AppKey("without_tls", web.Application)


def app(world: World, credentials: Credentials, ca: Ca) -> web.Application:
    """`ca` holds the hierarchy, which changes when `ca.roll()` is called; `app[ACCESS]` holds the good credentials.

    `app[WITHOUT_TLS]` is what DigiCert ONE serves over plain HTTP as well, as far as a client here needs it.
    """
    granted = access(credentials)
    scep_routes = scep.routes(ca, granted)
    routes = [
        *est.routes(ca, granted),
        *rest.routes(ca, granted),
        *inventory.routes(ca, granted),
        *ca_manager.routes(ca, granted),
        *crl.routes(ca),
        *scep_routes,
        *cmp.routes(ca, granted),
        *acme.routes(ca, granted),
    ]
    result = application(SERVICE, world, routes)
    result[ACCESS] = granted
    result[WITHOUT_TLS] = application(SERVICE, world, scep_routes)
    return result
