"""The signed requests of ACME (RFC 8555, 6.2): a flattened JWS whose protected header names key, URL and nonce."""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from sandbox.digicert.acme.problem import acme_problem

ALGORITHMS: Final = ("RS256", "ES256", "ES384", "ES512")
# RFC 7638, 3.2: what of a key counts for its thumbprint.
MEMBERS: Final = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}

Json = dict[str, Any]


@dataclass(frozen=True)
class Jws:
    """Read, its signature not yet verified."""

    header: Json
    payload: bytes
    covered: bytes
    signature: bytes

    def object(self) -> Json:
        return json_object(self.payload, "the payload")


def read(body: bytes) -> Jws:
    return from_json(json_object(body, "the body"))


def from_json(flattened: Json) -> Jws:
    parts = [flattened.get(name) for name in ("protected", "payload", "signature")]
    if len(flattened) != len(parts) or not all(isinstance(each, str) for each in parts):
        raise acme_problem("malformed", "a JWS here has the members protected, payload and signature")
    protected, payload, signature = map(str, parts)
    header = json_object(decoded(protected), "the protected header")
    return Jws(header, decoded(payload), f"{protected}.{payload}".encode(), decoded(signature))


def require_signature(jws: Jws, key: Json) -> None:
    algorithm = jws.header.get("alg")
    if algorithm not in ALGORITHMS:
        raise acme_problem("badSignatureAlgorithm", f"alg must be one of {', '.join(ALGORITHMS)}")
    try:
        held = PyJWK.from_dict(key, algorithm=algorithm)
        good = held.Algorithm.verify(jws.covered, held.key, jws.signature)
    except (PyJWTError, ValueError, TypeError) as error:
        raise acme_problem("badPublicKey", f"the key cannot be used: {error}") from error
    if not good:
        raise acme_problem("malformed", "the signature is wrong")


def require_binding(binding: object, key: Json, url: str, key_id: str, secret: str) -> None:
    """RFC 8555, 7.3.4: whoever has the MAC key vouches for the account key."""
    if not isinstance(binding, dict):
        raise acme_problem("externalAccountRequired", "newAccount needs an externalAccountBinding", 403)
    inner = from_json(binding)
    if inner.header != {"alg": "HS256", "kid": inner.header.get("kid"), "url": url}:
        raise acme_problem("malformed", "the binding's header has alg HS256, kid, and the url of newAccount")
    if inner.object() != key:
        raise acme_problem("malformed", "the binding is for another key")
    expected = hmac.digest(decoded(secret), inner.covered, hashlib.sha256)
    if inner.header["kid"] != key_id or not hmac.compare_digest(inner.signature, expected):
        raise acme_problem("unauthorized", "the key identifier or the HMAC of the binding is wrong", 403)


def thumbprint(key: Json) -> str:
    names = MEMBERS.get(str(key.get("kty")), ())
    if set(key) != set(names):
        raise acme_problem("badPublicKey", "jwk is an RSA or EC public key and no more")
    canonical = json.dumps(key, separators=(",", ":"), sort_keys=True).encode()
    return hashlib.sha256(canonical).hexdigest()


def json_object(text: bytes, what: str) -> Json:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise acme_problem("malformed", f"{what} is no JSON") from error
    if not isinstance(value, dict):
        raise acme_problem("malformed", f"{what} is no JSON object")
    return value


def decoded(text: str) -> bytes:
    """base64url without padding (RFC 8555, 6.1)."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise acme_problem("malformed", "this is no base64url without padding") from error


def require_header(jws: Jws, request: web.Request, url: str, key_member: str) -> None:
    """RFC 8555, 6.2 to 6.4: nothing but these members, and made for this URL."""
    if set(jws.header) != {"alg", "nonce", "url", key_member}:
        raise acme_problem("malformed", f"the protected header of this request has alg, nonce, url and {key_member}")
    if request.content_type != "application/jose+json":
        raise acme_problem("malformed", "the content type must be application/jose+json", 415)
    if jws.header["url"] != url:
        raise acme_problem("unauthorized", f"the request was signed for another URL than {url}", 401)
