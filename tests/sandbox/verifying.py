"""Verifies a client's certificate as strictly as the `cryptography` library can."""

from datetime import datetime

from cryptography import x509
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store


def verify(leaf: x509.Certificate, between: list[x509.Certificate], anchor: x509.Certificate, at: datetime) -> int:
    """The length of the verified chain. Strict, but a client's certificate need not have a SAN."""
    ee_policy = ExtensionPolicy.webpki_defaults_ee().may_be_present(
        x509.SubjectAlternativeName, Criticality.AGNOSTIC, None
    )
    policy = PolicyBuilder().store(Store([anchor])).time(at)
    policy = policy.extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ee_policy)
    return len(policy.build_client_verifier().verify(leaf, between).chain)
