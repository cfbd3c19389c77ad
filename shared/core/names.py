"""Rules for the names inside requests: what a subject and a subjectAltName may look like before policy sees them."""

import re
import unicodedata
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from shared.core.errors import Malformed

# The subject attributes a profile can allow, by the names it uses for them (RFC 4519, and X.520 for serialNumber).
SUBJECT_ATTRIBUTES: Final = {
    NameOID.COMMON_NAME: "common_name",
    NameOID.SERIAL_NUMBER: "serial_number",
    NameOID.ORGANIZATION_NAME: "organization",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "organizational_unit",
    NameOID.COUNTRY_NAME: "country",
    NameOID.STATE_OR_PROVINCE_NAME: "state_or_province",
    NameOID.LOCALITY_NAME: "locality",
    NameOID.DN_QUALIFIER: "dn_qualifier",
}

MAX_SAN_NAMES: Final = 100

# LDH labels (RFC 5890 §2.3.1), no wildcard; `cryptography` hands NUL and raw UTF-8 through.
_DNS_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)


def check_subject(subject: x509.Name) -> tuple[str, tuple[str, ...]]:
    """The common name (empty when there is none) and the names of all attributes. Raises Malformed."""
    attributes = []
    common_name = ""
    for rdn in subject.rdns:
        if len(rdn) != 1:
            raise Malformed("the subject holds a multi-valued RDN")
        (attribute,) = rdn
        label = SUBJECT_ATTRIBUTES.get(attribute.oid, attribute.oid.dotted_string)
        if label in attributes:
            raise Malformed("the subject holds an attribute twice")
        value = attribute.value
        if not isinstance(value, str) or not 1 <= len(value) <= 64:
            raise Malformed("each subject attribute must be text of 1 to 64 characters")
        if attribute.oid == NameOID.COUNTRY_NAME and len(value) != 2:
            raise Malformed("the country in the subject must be a code of two letters")
        if not is_plain(value):
            raise Malformed("the subject holds control or invisible characters")
        attributes.append(label)
        if attribute.oid == NameOID.COMMON_NAME:
            common_name = value
    return common_name, tuple(attributes)


def is_plain(text: str) -> bool:
    """No control, format (bidirectional, zero-width), surrogate, private or unassigned character, no line break."""
    categories = {unicodedata.category(character) for character in text}
    return not any(category[0] == "C" or category in ("Zl", "Zp") for category in categories)


def check_san(san: x509.SubjectAlternativeName) -> tuple[tuple[str, str], ...]:
    """The names in their order as pairs of type and value, DNS names in lower case. Raises Malformed."""
    if not 1 <= len(san) <= MAX_SAN_NAMES:
        raise Malformed(f"subjectAltName must hold 1 to {MAX_SAN_NAMES} names")
    return tuple(map(_san_name, san))


def _san_name(name: x509.GeneralName) -> tuple[str, str]:
    match name:
        case x509.DNSName(value=value):
            # isascii first: the Kelvin sign is not ASCII, and its lower case is the letter k.
            if not value.isascii() or not _DNS_NAME.fullmatch(value.lower()):
                raise Malformed("a DNS name in subjectAltName is not made of letters, digits, - and . alone")
            return "dns", value.lower()
        case x509.UniformResourceIdentifier(value=value):
            return "uri", _plain(value)
        case x509.RFC822Name(value=value):
            return "email", _plain(value)
        case x509.IPAddress(value=address):
            return "ip", str(address)
        case _:
            raise Malformed("subjectAltName holds a kind of name that is not accepted")


def _plain(value: str) -> str:
    if not is_plain(value):
        raise Malformed("subjectAltName holds control or invisible characters")
    return value


def certificate_san(certificate: x509.Certificate) -> tuple[tuple[str, str], ...]:
    """A certificate's subjectAltName as a signing request shows its own; empty when it has none. Raises Malformed."""
    try:
        return check_san(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()
