"""HTTP Basic (RFC 7617): reading the header, and comparing what it says in constant time."""

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from typing import Final

from shared.core.errors import Unauthenticated

# A non-ASCII password is sent in UTF-8 (RFC 7617 §2.1). Exactly one challenge: libest reads only the first.
CHALLENGE: Final = 'Basic realm="est", charset="UTF-8"'


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    """User and password as bytes; the password never shows in a repr."""

    user: bytes
    password: bytes = field(repr=False)


def parse(authorization: str) -> BasicCredentials:
    """The credentials in an Authorization header. Raises Unauthenticated. An empty user is legal (RFC 7030 §3.2.3)."""
    scheme, _, encoded = authorization.strip().partition(" ")
    try:
        decoded = base64.b64decode(encoded.strip().encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    user, colon, password = decoded.partition(b":")
    if scheme.lower() != "basic" or not colon:
        raise Unauthenticated("the Authorization header is not HTTP Basic with user and password", challenge=True)
    return BasicCredentials(user, password)


def wrong(cause: str) -> Unauthenticated:
    """The one answer to all credentials that prove nothing; why is for the log."""
    return Unauthenticated("the user or the password is wrong", challenge=True, cause=cause)


def matches(given: BasicCredentials, secret: str) -> bool:
    """Whether the credentials are the `user:password` of the secret, compared in constant time.

    A secret without a password lets nobody in.
    """
    return bool(given.password) and hmac.compare_digest(given.user + b":" + given.password, secret.strip().encode())
