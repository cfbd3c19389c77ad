"""A device that makes CMP messages by hand, to get them wrong, and reads the answers."""

from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import SignatureAlgorithmOID

from sandbox import pki
from sandbox.digicert.ca import CMP_PROFILE
from sandbox.digicert.cmp import syntax
from sandbox.digicert.cmp.protection import covered_by, mac
from sandbox.digicert.cmp.syntax import (
    CERT_CONF,
    ERROR,
    PBM,
    CertConfirmContent,
    CertId,
    CertReqMessages,
    CertReqMsg,
    CertRequest,
    CertStatus,
    CertTemplate,
    Control,
    ErrorMsgContent,
    Header,
    Message,
    PbmParameter,
    ProtectionAlgorithm,
    PublicKeyInfo,
    SigningKeyProof,
    StatusInfo,
    body,
    directory_name,
    tag_of,
)
from tests.sandbox.digicert_one import Answer, DigiCert, new_key

CMP = f"/iot/api/v1/cmp/{CMP_PROFILE}"
OID = x509.ObjectIdentifier
SHA256 = syntax.Algorithm(algorithm=OID("2.16.840.1.101.3.4.2.1"), parameters=None)
HMAC_SHA256 = syntax.Algorithm(algorithm=OID("1.2.840.113549.2.9"), parameters=None)


@dataclass(frozen=True)
class Rep:
    """An answer: its body after the tag, and its header."""

    kind: int
    content: bytes
    header: Header

    @property
    def certificate(self) -> x509.Certificate:
        (response,) = asn1.decode_der(syntax.CertRepMessage, self.content).responses
        assert response.status.status == 0
        assert response.key_pair is not None
        return response.key_pair.certificate

    @property
    def refusal(self) -> tuple[int, str]:
        """The bit of PKIFailureInfo, and the text."""
        assert self.kind == ERROR
        status = asn1.decode_der(ErrorMsgContent, self.content).status
        assert status.fail_info is not None
        assert status.text is not None
        octets = status.fail_info.as_bytes()
        return 8 * len(octets) - 1 - status.fail_info.padding_bits(), status.text[0]


@dataclass
class Device:
    """Makes messages under the secret; tests change a part of them."""

    one: DigiCert
    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    secret: str = ""
    reference: str = ""
    transaction: bytes = b"transaction 0001"
    iterations: int = 500
    version: int = 2
    recipient_nonce: bytes | None = None

    def request(
        self, number: int = 0, old: int | None = None, signer: ec.EllipticCurvePrivateKey | None = None
    ) -> bytes:
        """CertReqMessages, with the signature of the key that is to be certified."""
        public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        name = asn1.SetOf([syntax.NameAttribute(type=x509.NameOID.COMMON_NAME, value="dev-1")])
        template = CertTemplate(issuer=None, subject=[name], public_key=asn1.decode_der(PublicKeyInfo, public))
        issuer = directory_name(pki.common_name("any"))
        controls = [Control(type=syntax.OLD_CERT_ID, value=CertId(issuer=issuer, serial=old))] if old else None
        asked = CertRequest(id=number, template=template, controls=controls)
        signature = (signer or self.key).sign(asn1.encode_der(asked), ec.ECDSA(hashes.SHA256()))
        algorithm = syntax.Algorithm(algorithm=SignatureAlgorithmOID.ECDSA_WITH_SHA256, parameters=None)
        proof = SigningKeyProof(algorithm=algorithm, signature=asn1.BitString(signature, 0))
        return asn1.encode_der(CertReqMessages(only=CertReqMsg(request=asked, proof=proof)))

    def message(self, kind: int, content: bytes) -> Message:
        parameters = PbmParameter(salt=b"salt", owf=SHA256, iterations=self.iterations, mac=HMAC_SHA256)
        header = Header(
            version=self.version,
            sender=directory_name(x509.Name([])),
            recipient=directory_name(pki.common_name("any")),
            time=None,
            protection=ProtectionAlgorithm(algorithm=PBM, parameters=parameters),
            sender_key=(self.reference or self.one.credentials.cmp_reference).encode(),
            recipient_key=None,
            transaction=self.transaction,
            sender_nonce=b"nonce of sender!",
            recipient_nonce=self.recipient_nonce,
            free_text=None,
            general_info=None,
        )
        inner = body(kind, content)
        secret = self.secret or self.one.credentials.cmp_passcode
        usual = replace(parameters, iterations=500)
        value = mac(parameters if self.iterations == 500 else usual, secret, covered_by(header, inner))
        return Message(header=header, body=inner, protection=asn1.BitString(value, 0), extra_certificates=None)

    async def ask(self, kind: int, content: bytes) -> Rep:
        return read(await post(self.one, asn1.encode_der(self.message(kind, content))))

    async def confirm(self, certificate: x509.Certificate, status: StatusInfo | None = None, number: int = 0) -> Rep:
        digest = certificate.fingerprint(hashes.SHA256())
        content = CertConfirmContent(only=CertStatus(hash=digest, id=number, status=status))
        return await self.ask(CERT_CONF, asn1.encode_der(content))


async def post(one: DigiCert, message: bytes, content_type: str = "application/pkixcmp") -> Answer:
    return await one.ask("POST", CMP, data=message, headers={"Content-Type": content_type})


def read(answer: Answer) -> Rep:
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/pkixcmp")
    message = asn1.decode_der(Message, answer.body)
    assert message.header.recipient_nonce == b"nonce of sender!"
    return Rep(tag_of(message.body), bytes(message.body.data), message.header)
