"""Who opens and signs the messages of SCEP at the stand-in: a registration authority with an RSA key.

At DigiCert ONE the issuing CA does it itself; it must be an RSA one, with "Allow CA to decrypt and sign SCEP packets":
https://docs.digicert.com/en/device-trust-manager/tutorials/configure-and-use-scep.html. The issuing CAs of the sandbox
have EC keys, so they give a certificate to someone who can decrypt (RFC 8894, 4.2.1.2).
"""

from dataclasses import dataclass, field
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox import pki
from sandbox.digicert.ca import Ca
from sandbox.digicert.scep.message import Signer

NAME = "Birthcert Sandbox SCEP RA"


@dataclass
class Registration:
    """One certificate under each issuing CA, made when it is first asked for."""

    ca: Ca
    signers: dict[str, Signer] = field(default_factory=dict)

    @cached_property
    def key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def signer(self) -> Signer:
        issuer = self.ca.cas[-1]
        if issuer.id not in self.signers:
            self.signers[issuer.id] = Signer(self.certificate(issuer.authority), self.key)
        return self.signers[issuer.id]

    def certificate(self, authority: pki.Authority) -> x509.Certificate:
        above = authority.certificate
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=True,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=False,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )
        return authority.issue(
            pki.common_name(NAME),
            self.key.public_key(),
            [(x509.BasicConstraints(ca=False, path_length=None), True), (usage, True)],
            not_before=above.not_valid_before_utc,
            not_after=above.not_valid_after_utc,
        )

    def certificates(self) -> list[x509.Certificate]:
        """What GetCACert shows: the registration authority, the CA that issues now, and the root."""
        hierarchy = self.ca.hierarchy
        return [self.signer().certificate, hierarchy.ica.certificate, hierarchy.root.certificate]
