"""Stand-in for DigiCert ONE: EST and REST of IoT Trust Manager, CA Manager, CRLs, over one CA."""

from typing import Final

from aiohttp import web

from sandbox.credentials import Credentials
from sandbox.digicert import ca_manager, crl, est, inventory, rest
from sandbox.digicert.access import Access, access
from sandbox.digicert.ca import EST_PROFILE, REST_PROFILE, SERVICE, Ca
from sandbox.web import application
from sandbox.world import World

__all__ = ["ACCESS", "EST_PROFILE", "REST_PROFILE", "SERVICE", "Access", "Ca", "app"]

ACCESS: Final = web.AppKey("access", Access)


def app(world: World, credentials: Credentials, ca: Ca) -> web.Application:
    """`ca` holds the hierarchy, which changes when `ca.roll()` is called; `app[ACCESS]` holds the good credentials."""
    granted = access(credentials)
    routes = [
        *est.routes(ca, granted),
        *rest.routes(ca, granted),
        *inventory.routes(ca, granted),
        *ca_manager.routes(ca, granted),
        *crl.routes(ca),
    ]
    result = application(SERVICE, world, routes)
    result[ACCESS] = granted
    return result
