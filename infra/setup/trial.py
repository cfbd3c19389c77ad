"""A test device enrolls at the deployed EST endpoint, over the wire as devices do."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from infra.setup.refused import AGAIN, Refused, by_product
from infra.setup.wanted import Chain
from shared.adapters.digicert import client
from shared.adapters.digicert_est import certificates
from shared.adapters.tls import client_context, context
from shared.core.certificate import is_issued_by
from shared.core.client_certificate import device_named
from shared.core.errors import Refusal
from shared.core.profile import Profile

_SECONDS: Final = 40.0
_LOOK: Final = "Look into the app's log; the request id stands in the text."
_CURVES: Final = {"ec-p256": ec.SECP256R1(), "ec-p384": ec.SECP384R1(), "ec-p521": ec.SECP521R1()}
_HASHES: Final[dict[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class Proof:
    """How the device proves itself: `user:password`, or PEM of a factory certificate and its key."""

    text: str = field(repr=False)

    @property
    def is_certificate(self) -> bool:
        return "-----BEGIN" in self.text


def proof(path: str) -> Proof:
    """What the file holds. Raises Refused."""
    try:
        found = Proof(Path(path).read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} cannot be read: {type(error).__name__}", "Name a text file.") from error
    if not found.is_certificate and ":" not in found.text:
        text = f"{path} holds neither user:password nor a factory certificate with its key"
        raise Refused(text, "Write the one into it, or the PEM of both others.")
    return found


async def enroll(host: str, profile: Profile, chain: Chain, shown: Proof, name: str) -> x509.Certificate | None:
    """The certificate that the device gets; None where DigiCert ONE wants to decide later.

    `name` is the device's, unless a factory certificate names it. Raises Refused.
    """
    key = _key(profile.request.keys[0])
    try:
        trust = client_context(shown.text) if shown.is_certificate else context()
        device = _named(shown, profile) if shown.is_certificate else name
    except (Refusal, ValueError) as error:
        raise Refused(f"the factory certificate is of no use: {error}", "Give it with its key, as PEM.") from error
    headers = {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"}
    if not shown.is_certificate:
        headers["Authorization"] = "Basic " + base64.b64encode(shown.text.encode()).decode()
    url = f"https://{host}/.well-known/est/{profile.label}/simpleenroll"
    request = base64.encodebytes(_request(profile, device, key))
    try:
        async with client(trust) as http:
            answer = await http.post(url, content=request, headers=headers, timeout=_SECONDS)
    except httpx.HTTPError as error:
        raise Refused(f"{url} does not answer: {type(error).__name__} {error}", AGAIN) from error
    match answer.status_code:
        case 200:
            return _checked(answer, key, chain)
        case 202:
            return None
        case status:
            said = " ".join(answer.text.split())[:300]
            raise Refused(f"the test device {device} got no certificate: {status} {said}", _remedy(status))


def _key(kind: str) -> CertificateIssuerPrivateKeyTypes:
    """Of the kind that the profile prefers."""
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind])
    return ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, int(kind[4:]))


def _request(profile: Profile, device: str, key: CertificateIssuerPrivateKeyTypes) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    digest = _HASHES[profile.request.hashes[0]]
    request = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else digest)
    return request.public_bytes(Encoding.DER)


def _named(shown: Proof, profile: Profile) -> str:
    source = profile.authentication.factory.device_id if profile.authentication.factory else "subject.common_name"
    return device_named(x509.load_pem_x509_certificates(shown.text.encode())[0], source)


def _checked(answer: httpx.Response, key: CertificateIssuerPrivateKeyTypes, chain: Chain) -> x509.Certificate:
    try:
        (leaf,) = certificates(answer)
    except Refusal as refusal:
        raise by_product(refusal, "read the certificate of the test device", _LOOK) from refusal
    except ValueError as error:
        raise Refused("the test device got more than one certificate, or none", _LOOK) from error
    if leaf.public_key() != key.public_key() or not is_issued_by(leaf, chain):
        raise Refused("the test device got a certificate of another key or of another CA", _LOOK)
    return leaf


def _remedy(status: int) -> str:
    match status:
        case 401:
            return "The user or the password is wrong: compare it with the secret that the profile names."
        case 403:
            return "The profile does not let this device enroll: see its table [authentication] and unknown_devices."
        case 404:
            return "The app has other profiles than the ones here: deploy it again."
        case 502:
            return "DigiCert ONE refuses: check the enrollment profile's id and its credential. " + _LOOK
        case _:
            return _LOOK
