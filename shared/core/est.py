"""RFC 7030 on the wire: which path is which operation, and how answers are encoded."""

import base64
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from shared.core import der
from shared.core.errors import MethodNotAllowed, NotFound, NotOffered, Unsupported
from shared.core.profile import RequestRules


class Operation(Enum):
    """The operations of RFC 7030 §3.2.2, figure 5."""

    CACERTS = "cacerts"
    SIMPLEENROLL = "simpleenroll"
    SIMPLEREENROLL = "simplereenroll"
    CSRATTRS = "csrattrs"
    SERVERKEYGEN = "serverkeygen"
    FULLCMC = "fullcmc"


@dataclass(frozen=True, slots=True)
class Route:
    """An operation, and the label it was asked for under; an empty label is the default one."""

    operation: Operation
    label: str


_METHODS: Final = {
    Operation.CACERTS: ("GET", "HEAD"),
    Operation.CSRATTRS: ("GET", "HEAD"),
    Operation.SIMPLEENROLL: ("POST",),
    Operation.SIMPLEREENROLL: ("POST",),
}
_OPERATIONS: Final = {operation.value: operation for operation in Operation}

# RFC 7030 §3.2.2: a label must not be the name of an operation. RFC 8295, RFC 8995 and we ourselves keep some more.
_RESERVED: Final = frozenset(_OPERATIONS) | {
    *("pal", "crls", "eecerts", "symmetrickeys", "firmware", "tamp", "return"),
    *("requestvoucher", "voucher_status", "requestauditlog", "enrollstatus"),
    *("healthcheck", "metrics"),
}
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

PREFIX: Final = "/.well-known/est/"
NO_PATH: Final = "there is no such EST path here"


def is_label(text: str) -> bool:
    """Whether the text may be a label: one path segment, no operation's name."""
    return _LABEL.fullmatch(text) is not None and text not in _RESERVED


def route(path: str) -> Route:
    """The operation that a raw request path names. Raises NotFound.

    No valid path needs a percent sign, so none is decoded: `%73impleenroll` and `%2e%2e` are not found. Names are
    compared with case, and nothing is normalised. strongSwan's `pki` appends `/.well-known/est/OPERATION` to whatever
    URL it is given and knows no labels, so `/LABEL` and `/.well-known/est/LABEL` may stand before that too.
    """
    base, separator, rest = path.rpartition(PREFIX)
    label, slash, name = rest.rpartition("/")
    if base:
        before = PREFIX if base.startswith(PREFIX) else "/"
        if slash or not base.startswith(before):
            raise NotFound(NO_PATH)
        label, slash = base.removeprefix(before), "/"
    operation = _OPERATIONS.get(name)
    if not separator or operation is None or (slash and not is_label(label)):
        raise NotFound(NO_PATH)
    return Route(operation, label)


def check_method(operation: Operation, method: str) -> None:
    """Raises NotOffered for what is switched off, MethodNotAllowed for a wrong method."""
    allow = _METHODS.get(operation)
    if allow is None:
        # RFC 7030 §4.3.2: clients read 501 as "not implemented". The key belongs on the device, so no serverkeygen.
        raise NotOffered(f"{operation.value} is not offered here")
    if method not in allow:
        raise MethodNotAllowed(f"{operation.value} takes {' and '.join(allow)}", allow=allow)


def check_media(content_type: str, content_encoding: str) -> None:
    """Raises Unsupported unless the body is said to be an uncompressed PKCS#10 request (RFC 7030 §4.2.1)."""
    if content_encoding.strip().lower() not in ("", "identity"):
        raise Unsupported("send the body without Content-Encoding")
    if content_type.partition(";")[0].strip().lower() != "application/pkcs10":
        raise Unsupported("the Content-Type must be application/pkcs10")


CERTS_ONLY: Final = "application/pkcs7-mime; smime-type=certs-only"
CA_CERTS: Final = "application/pkcs7-mime"
CSR_ATTRIBUTES: Final = "application/csrattrs"


def encode(content: bytes, *, lines: bool) -> bytes:
    """Base64, in lines of 64 with LF as all of RFC 7030 Appendix A, or in one line for strongSwan before 5.9.11.

    `openssl base64 -d` truncates long lines without a word, so lines are the default.
    """
    encoded = base64.b64encode(content)
    if not lines:
        return encoded
    return b"".join(encoded[start : start + 64] + b"\n" for start in range(0, len(encoded), 64))


def certs_only(certificates: list[x509.Certificate]) -> bytes:
    """A certs-only CMC Simple PKI Response: a degenerate PKCS#7 SignedData (RFC 7030 §4.1.3, RFC 5272 §4.1).

    It is a SET, which DER sorts: with more than one certificate the order of the list is lost, so an enrollment
    answer must hold the leaf alone.
    """
    return pkcs7.serialize_certificates(certificates, Encoding.DER)


_KEYS: Final = {"rsa": "1.2.840.113549.1.1.1", "ec": "1.2.840.10045.2.1"}
_CURVES: Final = {"p256": "1.2.840.10045.3.1.7", "p384": "1.3.132.0.34", "p521": "1.3.132.0.35"}
_SIGNATURES: Final = {
    ("rsa", "sha256"): "1.2.840.113549.1.1.11",
    ("rsa", "sha384"): "1.2.840.113549.1.1.12",
    ("rsa", "sha512"): "1.2.840.113549.1.1.13",
    ("ec", "sha256"): "1.2.840.10045.4.3.2",
    ("ec", "sha384"): "1.2.840.10045.4.3.3",
    ("ec", "sha512"): "1.2.840.10045.4.3.4",
}


def csr_attributes(rules: RequestRules) -> bytes:
    """`CsrAttrs` that a client can follow and is then accepted: the profile's first key type and first hash.

    RFC 9908 §3.2: a demand for a key is exactly one Attribute of the key's OID, its value the curve or the RSA size;
    so of several accepted key types the first listed is asked for. challengePassword is never listed, because linking
    to the TLS session cannot be verified behind a front end (RFC 7030 §4.5.2).
    """
    family, _, size = rules.keys[0].partition("-")
    if family == "ed25519":
        return der.encode(der.SEQUENCE, der.encode_oid("1.3.101.112"))
    digest = next(name for name in rules.hashes if (family, name) in _SIGNATURES)
    value = der.encode_integer(int(size)) if family == "rsa" else der.encode_oid(_CURVES[size])
    demand = der.encode(der.SEQUENCE, der.encode_oid(_KEYS[family]), der.encode(der.SET, value))
    return der.encode(der.SEQUENCE, demand, der.encode_oid(_SIGNATURES[family, digest]))
