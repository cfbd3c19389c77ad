"""Who holds the certificate in the front end's header: a factory's device, one of ours, or nobody we trust.

The front end has proven possession of the key and checked nothing else. Factory anchors and our own issuing CAs are
two trust stores that are never merged (RFC 7030 §3.3.2): which of them matched decides what the device may ask for.
"""

import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
)

from shared.core import keys
from shared.core.errors import Forbidden, Malformed, Refusal
from shared.core.identity import DeviceId, device_id
from shared.core.principal import FactoryDevice

MAX_HEADER: Final = 16 * 1024

_ARMOUR: Final = re.compile(r"\A\s*-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----\s*\Z")

DEVICE_ID_SOURCES: Final = ("subject.common_name", "subject.serial_number", "san.dns", "san.uri")


class NotTrusted(Refusal):
    """The certificate does not lead to the anchors that were asked. `expired` when time alone speaks against it."""

    def __init__(self, public: str, *, expired: bool = False, cause: str = "") -> None:
        super().__init__(public, cause=cause)
        self.expired = expired


@dataclass(frozen=True, slots=True)
class Trust:
    """Authorities that a client certificate may lead to, prepared once; an intermediate may stand among them."""

    authorities: tuple[x509.Certificate, ...]
    store: Store | None


def trust(authorities: tuple[x509.Certificate, ...]) -> Trust:
    """The authorities as a trust store."""
    return Trust(authorities, Store(list(authorities)) if authorities else None)


def parse_header(value: str) -> x509.Certificate:
    """The certificate in the header: base64 of DER, PEM armour tolerated. Raises Malformed.

    Two copies of the header reach us joined by a comma, which strict base64 refuses.
    """
    if len(value) > MAX_HEADER:
        raise Malformed(f"the client certificate is over {MAX_HEADER} characters")
    armoured = _ARMOUR.match(value)
    text = armoured[1] if armoured else value
    try:
        decoded = binascii.a2b_base64("".join(text.split()), strict_mode=True)
        loaded = x509.load_der_x509_certificate(decoded)
    except (ValueError, x509.InvalidVersion) as error:  # binascii.Error and non-ASCII text are ValueErrors too
        raise Malformed("the client certificate cannot be read") from error
    if loaded.serial_number < 1:
        raise Malformed("the client certificate's serial number is not positive (RFC 5280 section 4.1.2.2)")
    return loaded


def verify(leaf: x509.Certificate, anchors: Trust, now: datetime) -> None:
    """Raises NotTrusted unless the certificate is a sound, current client certificate under one of the authorities.

    Checked: chain, validity at `now`, a leaf and no CA, key usage digitalSignature, EKU clientAuth, key strength.
    The verifier is built for each call because it freezes its time.
    """
    if anchors.store is None:
        raise NotTrusted("the client certificate is not trusted here", cause="no authority is configured")
    problem = _problem(leaf, anchors.store, now)
    if problem:
        last = leaf.not_valid_after_utc
        expired = now > last and not _problem(leaf, anchors.store, last)
        text = "the client certificate has expired" if expired else "the client certificate is not trusted here"
        raise NotTrusted(text, expired=expired, cause=problem)


def _problem(leaf: x509.Certificate, store: Store, at: datetime) -> str:
    """What speaks against the certificate at that time; an empty string when nothing does."""
    verifier = (
        PolicyBuilder()
        .store(store)
        .time(at)
        .extension_policies(ee_policy=_LEAF, ca_policy=ExtensionPolicy.webpki_defaults_ca())
        .build_client_verifier()
    )
    try:
        verifier.verify(leaf, [])
        key = leaf.public_key()
    except Exception as error:  # noqa: BLE001 - names and keys that it cannot read are no VerificationError
        return str(error) or type(error).__name__
    # The verifier accepts leaves with RSA-1024 or P-192 keys.
    strong = key.key_size >= 2048 if isinstance(key, rsa.RSAPublicKey) else bool(keys.name(key))
    return "" if strong else f"the key is too weak: {type(key).__name__}"


def _client_auth(_policy: Policy, _leaf: x509.Certificate, eku: x509.ExtendedKeyUsage | None) -> None:
    if eku is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in eku:
        raise ValueError("the extended key usage lacks clientAuth")


def _signs(_policy: Policy, _leaf: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.digital_signature:
        raise ValueError("the key usage lacks digitalSignature")
    if usage is not None and (usage.key_cert_sign or usage.crl_sign):
        raise ValueError("the key usage is that of a CA")


# A device certificate needs no subjectAltName and, from a simple factory CA, no authority key identifier.
_LEAF: Final = (
    ExtensionPolicy.webpki_defaults_ee()
    .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _client_auth)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs)
)


def device_named(leaf: x509.Certificate, source: str) -> DeviceId:
    """The device that the certificate names, read from where the profile says. Raises Forbidden."""
    try:
        found = _names(leaf, source)
    except Exception as error:  # names inside a certificate are parsed lazily and raise without a common base
        raise Forbidden("the client certificate's names cannot be read", cause=repr(error)) from error
    if len(found) != 1:
        raise Forbidden(f"the client certificate must name its device once in {source}")
    try:
        return device_id(found[0])
    except Malformed as error:
        raise Forbidden(f"the client certificate names no device: {error.public}") from error


def factory_device(leaf: x509.Certificate, source: str) -> FactoryDevice:
    """The device of a factory certificate, with what a manifest may know of that. Raises Forbidden."""
    named = device_named(leaf, source)
    serials = _attributes(leaf, NameOID.SERIAL_NUMBER)
    return FactoryDevice(named, leaf.fingerprint(SHA256()).hex(), serials[0] if len(serials) == 1 else "")


def _names(leaf: x509.Certificate, source: str) -> list[str]:
    match source:
        case "subject.common_name":
            return _attributes(leaf, NameOID.COMMON_NAME)
        case "subject.serial_number":
            return _attributes(leaf, NameOID.SERIAL_NUMBER)
        case "san.dns":
            return _san(leaf, x509.DNSName)
        case _:
            return _san(leaf, x509.UniformResourceIdentifier)


def _attributes(leaf: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in leaf.subject.get_attributes_for_oid(oid)]


def _san(leaf: x509.Certificate, kind: type[x509.DNSName | x509.UniformResourceIdentifier]) -> list[str]:
    try:
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.value for name in san if isinstance(name, kind)]
