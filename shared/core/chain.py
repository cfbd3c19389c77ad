"""What a chain of CA certificates must be before devices are told to trust it."""

from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core.certificate import is_ca, is_issued_by
from shared.core.errors import UpstreamRefused


def check_chain(certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The certificates without repeats, issuing CAs first and roots last. Raises UpstreamRefused.

    RFC 7030 §4.1.3 wants the root and every certificate needed to chain to it, so each must be a CA and be signed by
    one of the others, or by itself.
    """
    try:
        return _check_chain(certificates)
    except UpstreamRefused:
        raise
    except Exception as error:  # a certificate's properties are parsed lazily and raise without a common base
        raise UpstreamRefused("the CA's chain cannot be read", cause=repr(error)) from error


def _check_chain(certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    unique = list({one.public_bytes(Encoding.DER): one for one in certificates}.values())
    roots = [one for one in unique if one.issuer == one.subject]
    if not roots:
        raise UpstreamRefused("the CA's chain has no root", cause=f"{len(unique)} certificates")
    for one in unique:
        if not is_ca(one):
            raise UpstreamRefused(
                "the CA's chain holds a certificate that is no CA", cause=one.subject.rfc4514_string()
            )
        if not is_issued_by(one, tuple(unique)):
            raise UpstreamRefused("the CA's chain is incomplete", cause=one.subject.rfc4514_string())
    return tuple(sorted(unique, key=lambda one: one in roots))


def issuing(certificates: tuple[x509.Certificate, ...]) -> tuple[x509.Certificate, ...]:
    """The CAs of the chain that may have issued device certificates: all but the roots, or the root alone."""
    below = tuple(one for one in certificates if one.issuer != one.subject)
    return below or certificates
