"""Who is this device? DPS's answer from the certificates of its TLS handshake.

https://learn.microsoft.com/azure/iot-dps/concepts-x509-attestation: an enrollment of the device's own decides first,
then the group of the nearest issuer, then of the next one up to the root; the first match decides, also when it is
disabled. No CRL is read.
"""

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from sandbox.dps.document import is_ca
from sandbox.dps.errors import ATTESTATION, refusal
from sandbox.dps.state import DpsState, Entry

LONGEST_CHAIN = 10


def attested(state: DpsState, registration_id: str, chain: list[x509.Certificate]) -> Entry:
    """The entry that speaks for the device, enabled or not."""
    if not chain:
        raise refusal(401000, "Unauthorized")
    leaf = chain[0]
    if common_name(leaf).lower() != registration_id.lower() or not valid_now(state, leaf):
        raise refusal(ATTESTATION, "Invalid certificate")
    own = state.enrollments.get(registration_id.lower())
    if own is None:
        return by_chain(state, chain)
    if own.enabled and not own.holds(leaf):
        # An enrollment with a symmetric key holds no certificate: no certificate opens it.
        raise refusal(ATTESTATION, "Invalid certificate")
    return own


def by_chain(state: DpsState, chain: list[x509.Certificate]) -> Entry:
    found: Entry | None = None
    for issuer in issuers(state, chain):
        found = found or group_of(state, issuer)
        if issuer in state.verified.values():
            if found is None:
                raise refusal(ATTESTATION, "Signing certificate info did not match chain elements.")
            return found
    # A group was met, but the way up ends before any verified CA.
    raise refusal(ATTESTATION, "CA certificate not found." if found is None else "Invalid certificate")


def issuers(state: DpsState, chain: list[x509.Certificate]) -> list[x509.Certificate]:
    """The CAs above the leaf, nearest first, as far as they can be found.

    The page wants devices to send the chain up to a verified CA. A device may have sent its leaf alone, and the
    group's own signing certificate, which DPS holds, complete the chain: that the service does so is likely, as
    devices that send only a leaf are reported to work with groups for an intermediate, but documented nowhere.
    """
    held = [certificate for group in state.groups.values() for certificate in group.certificates.values()]
    candidates = [*chain[1:], *held, *state.verified.values()]
    path: list[x509.Certificate] = []
    current = chain[0]
    while len(path) < LONGEST_CHAIN:
        issuer = next((each for each in candidates if each not in path and issued(state, each, current)), None)
        if issuer is None:
            break
        path.append(issuer)
        current = issuer
    return path


def issued(state: DpsState, issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    if not is_ca(issuer) or not valid_now(state, issuer):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def group_of(state: DpsState, issuer: x509.Certificate) -> Entry | None:
    for group in state.groups.values():
        if group.holds(issuer) or any(state.verified.get(name) == issuer for name in group.ca_names):
            return group
    return None


def common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def valid_now(state: DpsState, certificate: x509.Certificate) -> bool:
    return certificate.not_valid_before_utc <= state.world.clock.now() <= certificate.not_valid_after_utc
