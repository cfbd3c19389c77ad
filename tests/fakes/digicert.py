"""A small CA that issues real certificates for real requests, and misbehaves on request."""

import asyncio
import functools
import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from sandbox import pki
from shared.core.csr import SigningRequest
from shared.core.errors import Malformed, OutcomeUnknown, Throttled, Unavailable, UpstreamRefused
from shared.flows.ports.issuance import Answer, Pending
from tests.core import asn1
from tests.fakes.calls import Calls
from tests.fakes.clock import START, Clock

# `lost_before` and `lost_after`: no answer, and nothing or a certificate was issued. `garbage`: issued, and the answer
# cannot be read. `hang`: no answer ever, and nothing was issued; `hang_after`: issued.
type Behaviour = Literal[
    "pending", "refuse", "malformed", "throttle", "down", "lost_before", "lost_after", "garbage", "hang", "hang_after"
]
type Flaw = Literal["wrong_key", "wrong_subject", "other_issuer", "expired"]

DAY = timedelta(days=1)
_ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@functools.cache
def _hierarchy() -> pki.Hierarchy:
    """One for all tests: a new one would take a good part of the time of most."""
    return pki.issuing_hierarchy(START - 400 * DAY)


@dataclass
class FakeCa:
    """`issued` is all that was ever paid for. `lifetime` holds for what is issued from now on."""

    clock: Clock
    hierarchy: pki.Hierarchy = field(default_factory=_hierarchy)
    lifetime: timedelta = 90 * DAY
    issued: list[x509.Certificate] = field(default_factory=list)
    announced: list[x509.Certificate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.announced += [self.hierarchy.root.certificate, self.hierarchy.ica.certificate]

    def with_keys_of_its_own(self) -> None:
        """The same names, and nothing that the CA of other tests has signed."""
        self.hierarchy = pki.issuing_hierarchy(START - 400 * DAY)
        self.announced[:] = [self.hierarchy.root.certificate, self.hierarchy.ica.certificate]

    def roll(self) -> None:
        """A new issuing CA under the same root."""
        ica = pki.issuing_ca(self.hierarchy.root, f"Issuing CA {len(self.announced)}", self.clock())
        self.hierarchy = pki.Hierarchy(self.hierarchy.root, ica)
        self.announced.append(ica.certificate)

    def issue(self, request: SigningRequest, flaw: Flaw | None = None) -> x509.Certificate:
        subject, begin = request.subject, self.clock() - pki.CLOCK_SKEW
        key, authority = x509.load_der_x509_csr(request.der).public_key(), self.hierarchy.ica
        match flaw:
            case "wrong_key":
                key = ec.generate_private_key(ec.SECP256R1()).public_key()
            case "wrong_subject":
                subject = pki.common_name("somebody-else")
            case "other_issuer":
                authority = pki.rogue_authority(authority)
            case "expired":
                begin -= self.lifetime + DAY
            case None:
                pass
        made = authority.issue(
            subject, key, _extensions(request), not_before=begin, not_after=begin + pki.CLOCK_SKEW + self.lifetime
        )
        self.issued.append(made)
        return made

    def issued_for(self, request: SigningRequest) -> list[x509.Certificate]:
        """All certificates with the request's key, oldest first."""
        return [one for one in self.issued if spki_sha256(one) == request.spki_sha256]


@dataclass
class FakeUpstream:
    """DigiCert ONE for one label. `behaves` are the next answers, one for each order; then it issues.

    `flaw` is what is wrong with each certificate; `finds` is how its look-up is; `approved` lets what is pending go
    on. `orders` counts what it was asked for, `renewed` keeps the ids that were to be renewed.
    """

    ca: FakeCa
    calls: Calls = field(default_factory=Calls)
    behaves: list[Behaviour] = field(default_factory=list)
    flaw: Flaw | None = None
    finds: bool = True
    seconds: float = 0.0
    approved: bool = False
    orders: int = 0
    granted: dict[str, x509.Certificate] = field(default_factory=dict)
    renewed: list[str] = field(default_factory=list)

    async def issue(self, request: SigningRequest, renews: str) -> Answer | Pending:
        async with self.calls.to("upstream.issue"):
            self.orders += 1
            self.renewed.append(renews)
            await asyncio.sleep(self.seconds)
            behaviour = self.behaves.pop(0) if self.behaves else None
            if behaviour == "pending":
                return Pending(30)
            if behaviour in (None, "lost_after", "garbage", "hang_after"):
                made = self.ca.issue(request, self.flaw)
            await _misbehave(behaviour)
            return self._answer(made)

    async def poll(self, request: SigningRequest) -> Answer | Pending:
        async with self.calls.to("upstream.poll"):
            if self.approved and request.spki_sha256 not in self.granted:
                self.granted[request.spki_sha256] = self.ca.issue(request)
            granted = self.granted.get(request.spki_sha256)
            return self._answer(granted) if granted else Pending(30)

    async def find(self, request: SigningRequest) -> Answer | None:
        async with self.calls.to("upstream.find"):
            now = self.ca.clock()
            valid = [one for one in self.ca.issued_for(request) if one.not_valid_after_utc > now]
            return self._answer(valid[-1]) if valid and self.finds else None

    def _answer(self, leaf: x509.Certificate) -> Answer:
        return Answer([leaf, self.ca.hierarchy.ica.certificate], f"id-{leaf.serial_number:x}")


async def _misbehave(behaviour: Behaviour | None) -> None:
    match behaviour:
        case "refuse":
            raise UpstreamRefused("the CA refused the request", nothing_issued=True, cause="403")
        case "malformed":
            raise Malformed("the CA does not accept this request under its enrollment profile", cause="400")
        case "throttle":
            raise Throttled("the service throttles; try again", retry_after=7, cause="429")
        case "down":
            raise Unavailable("the service is down", retry_after=3, cause="503")
        case "lost_before" | "lost_after":
            raise OutcomeUnknown("the CA did not answer in time", retry_after=10, cause="timeout")
        case "garbage":
            raise UpstreamRefused("the CA's answer cannot be read", cause="html")
        case "hang" | "hang_after":
            await asyncio.sleep(3600)
        case _:
            pass


@dataclass
class FakeChainSource:
    """The CA's own chain. `extra` are certificates that do not belong there."""

    ca: FakeCa
    calls: Calls = field(default_factory=Calls)
    seconds: float = 0.0
    extra: list[x509.Certificate] = field(default_factory=list)

    async def fetch(self) -> list[x509.Certificate]:
        async with self.calls.to("chain.fetch"):
            await asyncio.sleep(self.seconds)
            return [*self.ca.announced, *self.extra]


def spki_sha256(holder: x509.Certificate) -> str:
    spki = holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def _extensions(request: SigningRequest) -> pki.Extensions:
    wanted = x509.load_der_x509_csr(request.der).extensions
    try:
        san = wanted.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return pki.leaf_extensions()
    return [*pki.leaf_extensions(), (san, False)]


@dataclass
class FakeInventory:
    """All that the CA has issued, by common name; what it has revoked is in `taken_back`, by serial number."""

    ca: FakeCa
    calls: Calls = field(default_factory=Calls)
    taken_back: set[int] = field(default_factory=set)

    async def named(self, common_name: str) -> tuple[Answer, ...]:
        async with self.calls.to("inventory.named"):
            return self._listed(common_name, is_revoked=False)

    async def revoked(self, common_name: str) -> tuple[Answer, ...]:
        async with self.calls.to("inventory.revoked"):
            return self._listed(common_name, is_revoked=True)

    def _listed(self, common_name: str, *, is_revoked: bool) -> tuple[Answer, ...]:
        names = ((one, one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value) for one in self.ca.issued)
        fitting = [one for one, name in names if name == common_name]
        if is_revoked:
            listed = [one for one in fitting if one.serial_number in self.taken_back]
        else:
            now, gone = self.ca.clock(), self.taken_back
            listed = [one for one in fitting if one.not_valid_after_utc > now and one.serial_number not in gone]
        return tuple(Answer([one], f"id-{one.serial_number:x}") for one in listed)


def rewritten(leaf: x509.Certificate) -> x509.Certificate:
    """The same certificate with the other of the two ways to write its ECDSA signature, and so another thumbprint."""
    r, s = decode_dss_signature(leaf.signature)
    signature = asn1.tlv(asn1.BIT_STRING, b"\x00", encode_dss_signature(r, _ORDER_OF_P256 - s))
    algorithm = asn1.tlv(asn1.SEQUENCE, asn1.oid(asn1.ECDSA_SHA256))
    return x509.load_der_x509_certificate(asn1.tlv(asn1.SEQUENCE, leaf.tbs_certificate_bytes, algorithm, signature))
