"""ACME of IoT Trust Manager (RFC 8555): for private trust, so without any validation of names.

Accounts need an external account binding; key id and HMAC come from POST /iot/api/v1/acme-authentication
(https://dev.digicert.com/it/digicert-one/iot-device-manager/acme/add-acme-credential/), they lead to one enrollment
profile, and nothing is validated:
https://docs.digicert.com/en/device-trust-manager/concepts/acme---automated-certificate-management-environment-protocol.html
The path is (unsure): no page names it; Private CA has /certificate-authority/api/v1/acme/directory.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from aiohttp import web
from cryptography import x509

from sandbox import pki
from sandbox.digicert import faults
from sandbox.digicert.access import Access
from sandbox.digicert.acme import jws
from sandbox.digicert.acme.jws import Json, Jws
from sandbox.digicert.acme.orders import BASE, URL, Order, State, asked_for, device_of
from sandbox.digicert.acme.problem import acme_problem
from sandbox.digicert.ca import ACME_PROFILE, BASE_URL, SERVICE, Ca
from sandbox.web import fault_kind

NEW_ACCOUNT: Final = f"{URL}/new-account"
DIRECTORY: Final = {
    "newNonce": f"{URL}/new-nonce",
    "newAccount": NEW_ACCOUNT,
    "newOrder": f"{URL}/new-order",
    "meta": {"externalAccountRequired": True},
}
ACCOUNT_FIELDS: Final = {"contact", "termsOfServiceAgreed", "onlyReturnExisting", "externalAccountBinding"}
ORDER_LIFETIME: Final = timedelta(days=1)

Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True)
class Service:
    """One method for each resource (RFC 8555, 7.1)."""

    ca: Ca
    granted: Access
    state: State = field(default_factory=State)

    async def directory(self, _: web.Request) -> web.Response:
        return web.json_response(DIRECTORY)

    async def new_nonce(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if request.method == "HEAD" else 204)

    async def new_account(self, request: web.Request) -> web.Response:
        """RFC 8555, 7.3. One key has one account."""
        asked = await self.opened(request, "jwk")
        key, wanted = asked.header["jwk"], asked.object()
        if unknown := sorted(set(wanted) - ACCOUNT_FIELDS):
            raise acme_problem("malformed", f"unknown fields: {', '.join(unknown)}")
        thumbprint = jws.thumbprint(key)
        known = self.state.urls.get(thumbprint)
        if known is not None:
            return account(known, 200)
        if wanted.get("onlyReturnExisting"):
            raise acme_problem("accountDoesNotExist", "there is no account with this key")
        binding, granted = wanted.get("externalAccountBinding"), self.granted
        jws.require_binding(binding, key, NEW_ACCOUNT, granted.acme_key_id, granted.acme_hmac_key)
        made = f"{URL}/account/{secrets.token_urlsafe(8)}"
        self.state.accounts[made], self.state.urls[thumbprint] = key, made
        return account(made, 201)

    async def new_order(self, request: web.Request) -> web.Response:
        """RFC 8555, 7.4."""
        asked = await self.opened(request, "kid")
        expires = (self.ca.world.clock.now() + ORDER_LIFETIME).strftime("%Y-%m-%dT%H:%M:%SZ")
        order = Order(secrets.token_urlsafe(8), asked.header["kid"], device_of(asked.object()), expires)
        self.state.orders[order.id] = order
        return web.json_response(order.shown(), status=201, headers={"Location": order.url})

    async def order(self, request: web.Request) -> web.Response:
        return web.json_response((await self.read(request)).shown())

    async def authorization(self, request: web.Request) -> web.Response:
        return web.json_response((await self.read(request)).authorization())

    async def finalize(self, request: web.Request) -> web.Response:
        asked = await self.opened(request, "kid")
        order = self.state.order(request.match_info["id"], asked.header["kid"])
        if order.issued is not None:
            raise acme_problem("orderNotReady", "the order is finalized", 403)
        wanted = asked_for(csr_in(asked.object()), order)
        order.issued = faults.issue(self.ca, wanted, ACME_PROFILE, fault_kind(request))
        return web.json_response(order.shown(), headers={"Location": order.url})

    async def certificate(self, request: web.Request) -> web.Response:
        """RFC 8555, 7.4.2: the chain, leaf first, without the root."""
        order = await self.read(request)
        if order.issued is None:
            raise acme_problem("malformed", "there is no certificate yet", 404)
        pem = pki.certificate_pem(*self.ca.chain(order.issued)[:-1])
        return web.Response(text=pem, content_type="application/pem-certificate-chain")

    async def read(self, request: web.Request) -> Order:
        """POST-as-GET (RFC 8555, 6.3) of something about an order."""
        asked = await self.opened(request, "kid")
        if asked.payload:
            raise acme_problem("malformed", "what is only read has an empty payload")
        return self.state.order(request.match_info["id"], asked.header["kid"])

    async def opened(self, request: web.Request, key_member: str) -> Jws:
        """The signed request, when its signature, its URL and its nonce are right."""
        asked = jws.read(await request.read())
        jws.require_header(asked, request, f"{BASE_URL}{request.path}", key_member)
        held = asked.header[key_member]
        key = held if key_member == "jwk" else self.state.accounts.get(str(held))
        if not isinstance(key, dict):
            raise acme_problem("accountDoesNotExist", "there is no such account")
        jws.require_signature(asked, key)
        self.state.use_nonce(asked.header["nonce"])
        return asked

    def answering(self, handler: Handler, *playable: str) -> Handler:
        """Every answer, good or bad, carries a nonce and leads to the directory (RFC 8555, 6.5 and 7.1).

        `playable` are the faults that the handler plays itself.
        """

        async def answer(request: web.Request) -> web.Response:
            headers = {"Replay-Nonce": self.state.nonce(), "Link": f'<{URL}/directory>;rel="index"'}
            try:
                response = faults.before(request, *playable) or await handler(request)
            except web.HTTPException as error:
                error.headers.update(headers | {"Cache-Control": "no-store"})
                self.ca.world.journal.write(SERVICE, "refused", protocol="ACME", reason=error.text)
                raise
            response.headers.update(headers | {"Cache-Control": "no-store"})
            return response

        return answer


def routes(ca: Ca, granted: Access) -> list[web.RouteDef]:
    service = Service(ca, granted)
    answering = service.answering
    return [
        web.get(f"{BASE}/directory", answering(service.directory)),
        web.get(f"{BASE}/new-nonce", answering(service.new_nonce)),
        web.post(f"{BASE}/new-account", answering(service.new_account)),
        web.post(f"{BASE}/new-order", answering(service.new_order)),
        web.post(f"{BASE}/order/{{id}}", answering(service.order)),
        web.post(f"{BASE}/order/{{id}}/finalize", answering(service.finalize, *faults.CERTIFICATE_FAULTS)),
        web.post(f"{BASE}/authorization/{{id}}", answering(service.authorization)),
        web.post(f"{BASE}/certificate/{{id}}", answering(service.certificate)),
    ]


def account(url: str, status: int) -> web.Response:
    shown = {"status": "valid", "orders": f"{url}/orders"}
    return web.json_response(shown, status=status, headers={"Location": url})


def csr_in(payload: Json) -> x509.CertificateSigningRequest:
    csr = payload.get("csr")
    if set(payload) != {"csr"} or not isinstance(csr, str):
        raise acme_problem("malformed", "finalize has a csr and no more")
    try:
        return x509.load_der_x509_csr(jws.decoded(csr))
    except ValueError as error:
        raise acme_problem("badCSR", "the CSR cannot be read") from error
