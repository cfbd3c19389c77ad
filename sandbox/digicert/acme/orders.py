"""What the ACME server remembers: nonces, accounts, orders. All of it is gone with the sandbox."""

import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509

from sandbox.digicert.acme.problem import acme_problem
from sandbox.digicert.ca import BASE_URL, Issued, Request
from sandbox.digicert.csr import CsrError, wanted
from sandbox.mint import SAFE_NAME
from sandbox.pki import common_name

BASE: Final = "/iot/api/v1/acme"
URL: Final = f"{BASE_URL}{BASE}"


@dataclass
class Order:
    """For one device, whose id is the value of the one identifier, of type dns."""

    id: str
    account: str
    device: str
    expires: str
    issued: Issued | None = None

    @property
    def url(self) -> str:
        return f"{URL}/order/{self.id}"

    def shown(self) -> dict[str, Any]:
        """RFC 8555, 7.1.3. It is ready at once: DigiCert ONE validates nothing for private trust."""
        result = {
            "status": "ready" if self.issued is None else "valid",
            "expires": self.expires,
            "identifiers": [self.identifier()],
            "authorizations": [f"{URL}/authorization/{self.id}"],
            "finalize": f"{self.url}/finalize",
        }
        return result if self.issued is None else result | {"certificate": f"{URL}/certificate/{self.id}"}

    def authorization(self) -> dict[str, Any]:
        """RFC 8555, 7.1.4: valid, without any challenge."""
        return {"status": "valid", "expires": self.expires, "identifier": self.identifier(), "challenges": []}

    def identifier(self) -> dict[str, str]:
        return {"type": "dns", "value": self.device}


@dataclass
class State:
    """`accounts` are the keys by account URL; `urls` are the account URLs by thumbprint."""

    nonces: set[str] = field(default_factory=set)
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)

    def nonce(self) -> str:
        nonce = secrets.token_urlsafe(16)
        self.nonces.add(nonce)
        return nonce

    def use_nonce(self, nonce: object) -> None:
        if nonce not in self.nonces:
            raise acme_problem("badNonce", "this nonce was not given out, or has been used")
        self.nonces.discard(str(nonce))

    def order(self, identifier: str, account: str) -> Order:
        order = self.orders.get(identifier)
        if order is None or order.account != account:
            raise acme_problem("malformed", "this account has no such order", 404)
        return order


def device_of(order: dict[str, Any]) -> str:
    """The device id in newOrder (RFC 8555, 7.4). One that is no host name is refused: it would be no dns identifier."""
    identifiers = order.get("identifiers")
    match identifiers:
        case [{"type": "dns", "value": str(device)}] if set(order) == {"identifiers"}:
            if SAFE_NAME.fullmatch(device) and "_" not in device:
                return device
            raise acme_problem("rejectedIdentifier", "a dns identifier has letters, digits, hyphens and dots")
        case [{"type": str(kind)}] if kind != "dns":
            raise acme_problem("unsupportedIdentifier", "the stand-in knows identifiers of the type dns")
    raise acme_problem("malformed", "newOrder has one identifier of the type dns and no more")


def asked_for(csr: x509.CertificateSigningRequest, order: Order) -> Request:
    """RFC 8555, 7.4: the CSR names exactly what was ordered, as common name, as alternative name, or as both.

    Most clients leave the subject empty. The certificate then gets the device id as its common name, spelled as in the
    alternative name: identifiers compare without case, device ids do not (how DigiCert ONE fills it in is unsure).
    """
    names = names_in(csr)
    if {name.lower() for name in names} != {order.device.lower()}:
        raise acme_problem("badCSR", "the CSR does not name exactly the device that was ordered")
    try:
        return wanted(csr, None if len(csr.subject) else common_name(names[0]))
    except CsrError as error:
        raise acme_problem("badCSR", str(error)) from error


def names_in(csr: x509.CertificateSigningRequest) -> list[str]:
    try:
        subject = [str(each.value) for each in csr.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
        found = [each.value for each in csr.extensions if isinstance(each.value, x509.SubjectAlternativeName)]
        alternative = [str(name.value) for names in found for name in names]
    except ValueError as error:
        raise acme_problem("badCSR", "the CSR cannot be read") from error
    if any(not isinstance(name, x509.DNSName) for names in found for name in names):
        raise acme_problem("badCSR", "the CSR has alternative names that are no DNS names")
    return [*subject, *alternative]
