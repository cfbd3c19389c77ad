"""Who may ask for what: the one decision behind every enrollment. What is not allowed here is refused."""

import hashlib
from typing import assert_never

from cryptography import x509

from shared.core import names
from shared.core.certificate import serial_hex
from shared.core.csr import SigningRequest
from shared.core.errors import Conflict, Forbidden, Malformed
from shared.core.est import Operation
from shared.core.fleet import BatchRow, Block, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId, device_id
from shared.core.principal import (
    FactoryDevice,
    IssuedDevice,
    OneTimePasscodeHolder,
    Operator,
    PasscodeHolder,
    Principal,
)
from shared.core.profile import Profile, RequestRules


def requested_device(principal: Principal, request: SigningRequest) -> DeviceId:
    """The device that the request is for: the common name, which must be the one that the principal speaks for.

    DPS wants the registration id as common name, so names are never rewritten: what does not fit is refused.
    """
    if not request.common_name:
        raise Malformed("the subject must hold a common name: the device id")
    try:
        asked = device_id(request.common_name)
    except Malformed as error:
        raise Forbidden(f"the common name is no device id: {error.public}") from error
    if principal.device_id not in (None, asked):
        raise Forbidden("the common name is not the device that the credentials speak for")
    return asked


def check_request(rules: RequestRules, request: SigningRequest, asked: DeviceId) -> None:
    """Raises Malformed or Forbidden unless the request is one that the profile grants."""
    if request.key not in rules.keys:
        raise Malformed(f"the key is {request.key}; accepted are {', '.join(rules.keys)}")
    if request.hash != request.key and request.hash not in rules.hashes:
        raise Malformed(f"the request is signed with {request.hash}; accepted are {', '.join(rules.hashes)}")
    if request.has_challenge_password and not rules.ignores_challenge_password:
        # RFC 7030 §3.5: the attribute means tls-unique, which only the end of the TLS connection could verify.
        raise Malformed("challengePassword cannot be verified here; leave it out of the request")
    extra = set(request.subject_attributes) - rules.subject
    if extra:
        raise Forbidden(f"the subject may not hold {', '.join(sorted(extra))}")
    for name in request.san:
        if "device_id" not in rules.san or name != ("dns", asked.lower()):
            raise Forbidden("subjectAltName may hold nothing but the device id")


def authorize(
    profile: Profile, operation: Operation, principal: Principal, request: SigningRequest, known: Snapshot
) -> LedgerCertificate | None:
    """Raises Forbidden unless the principal may enroll this device now. Returns the certificate being renewed."""
    device = known.device
    asked = requested_device(principal, request)
    if device is not None and device.block is not Block.NONE:
        raise Forbidden("the device is blocked")
    if device is not None and device.device_id != asked:
        raise Forbidden("a device whose id differs only in upper and lower case is enrolled already")
    if profile.unknown_devices == "manifest" and not is_announced(profile, known):
        raise Forbidden("the device is not on the manifest of this label")
    match principal:
        case FactoryDevice():
            if operation is Operation.SIMPLEREENROLL:
                # RFC 7030 §3.3.2: a third party's certificate is for a first enrollment.
                raise Forbidden("a factory certificate cannot renew; use simpleenroll")
            _check_label(profile, known)
            _check_expected(principal, known)
            return None
        case PasscodeHolder():
            _check_label(profile, known)
            _check_expected(principal, known)
            return _authorize_passcode(profile, operation, request, known)
        case OneTimePasscodeHolder():
            _check_label(profile, known)
            _check_passcode(profile, principal, known)
            return _renewed_by_name(request, known) if operation is Operation.SIMPLEREENROLL else None
        case Operator():
            _check_label(profile, known)
            return None
        case IssuedDevice():
            return _authorize_renewal(operation, principal, request, known)
        case _:
            assert_never(principal)


def is_announced(profile: Profile, known: Snapshot) -> bool:
    """A device that was born under another label may move here; one that only was to be born there may not."""
    return known.device is not None and (known.device.label == profile.label or bool(known.certificates))


def _check_label(profile: Profile, known: Snapshot) -> None:
    """Each label has its own factories and passcodes: those of one cannot speak for the devices of another.

    An issued certificate can: it belongs to the device, which may move to another label of the same CA.
    """
    device = known.device
    if device is None or device.label == profile.label:
        return
    if known.certificates:
        raise Forbidden("the device is enrolled under another label")
    if device.expected is not None:
        raise Forbidden("the manifest has the device under another label")


def _check_expected(principal: FactoryDevice | PasscodeHolder, known: Snapshot) -> None:
    """A manifest that names the factory certificate, or the hardware, lets in nobody who does not show it.

    An operator's request and a one-time passcode are decisions of their own about this one device.
    """
    expected = known.device.expected if known.device else None
    if expected is None:
        return
    thumbprint, serial = "", ""
    if isinstance(principal, FactoryDevice):
        thumbprint, serial = principal.thumbprint, principal.hardware_serial
    if expected.factory_thumbprint and thumbprint != expected.factory_thumbprint:
        raise Forbidden("the manifest expects another factory certificate of the device")
    if expected.hardware_serial and serial != expected.hardware_serial:
        raise Forbidden("the manifest expects another hardware serial number in the factory certificate")


def _check_passcode(profile: Profile, principal: OneTimePasscodeHolder, known: Snapshot) -> None:
    """Who has proven to know the passcode may repeat the request that burnt it, and nothing else.

    It was made for one label: its holder does not choose the CA.
    """
    if known.device is not None and known.device.label != profile.label:
        raise Forbidden("the one-time passcode was made for another label")
    passcode = known.device.passcode if known.device else None
    if passcode is None or passcode.salt != principal.salt:
        raise Forbidden("the operator has made another one-time passcode since; use that one")
    if passcode.burnt_by and (known.claim is None or known.claim.key != passcode.burnt_by):
        raise Forbidden("the one-time passcode has been used; ask the operator for another one")


def _authorize_passcode(
    profile: Profile, operation: Operation, request: SigningRequest, known: Snapshot
) -> LedgerCertificate | None:
    passcode = profile.authentication.passcode
    accepts = passcode is not None and passcode.existing_devices == "accept"
    if known.certificates and not accepts and not _is_repeated(known):
        raise Forbidden("the passcode enrolls new devices only; renew with the certificate of the device")
    return _renewed_by_name(request, known) if operation is Operation.SIMPLEREENROLL else None


def _renewed_by_name(request: SigningRequest, known: Snapshot) -> LedgerCertificate:
    """RFC 7030 §4.2.2 with HTTP authentication alone: what is renewed is found in our own inventory."""
    wanted = request.subject.rfc4514_string()
    found = [one for one in known.certificates if one.certificate.subject == wanted and one.status == "issued"]
    if not found:
        raise Forbidden("there is no certificate of this subject to renew; use simpleenroll")
    newest = max(found, key=lambda one: one.certificate.not_before)
    _check_same_names(x509.load_der_x509_certificate(newest.certificate.der), request)
    return newest


def _is_repeated(known: Snapshot) -> bool:
    """The same request, by the same key, has led to the newest certificate: its answer was lost, and is given again."""
    if known.claim is None or known.device is None or known.claim.serial != known.device.latest:
        return False
    answer = known.certificate(known.claim.serial)
    return answer is not None and answer.status == "issued"


def _authorize_renewal(
    operation: Operation, principal: IssuedDevice, request: SigningRequest, known: Snapshot
) -> LedgerCertificate | None:
    renewed = known.certificate(serial_hex(principal.certificate))
    if renewed is not None and renewed.status == "revoked":
        raise Forbidden("the client certificate has been revoked")
    if renewed is None and principal.expired:
        # DigiCert ONE lists what is valid: nothing would tell whether this one was revoked before its end.
        raise Forbidden("the client certificate has expired, and is not one that is known here")
    if operation is Operation.SIMPLEREENROLL:
        _check_same_names(principal.certificate, request)
    return renewed


def _check_same_names(renewed: x509.Certificate, request: SigningRequest) -> None:
    """RFC 7030 §4.2.2: Subject and SubjectAltName identical to those of the certificate being renewed, here by DER.

    Not asked of `simpleenroll`, by which Azure's client renews: there the device id alone decides.
    """
    if renewed.subject.public_bytes() != request.subject.public_bytes():
        raise Forbidden("the subject differs from that of the certificate being renewed")
    if names.certificate_san(renewed) != request.san:
        raise Forbidden("subjectAltName differs from that of the certificate being renewed")


def check_once_in_batch(known: Snapshot, place: BatchRow) -> None:
    """A device that stands in a batch twice gets one certificate, by the row that came first. Raises Conflict."""
    for one in known.certificates:
        if one.batch and one.batch.batch == place.batch and one.batch.row != place.row:
            raise Conflict(f"the device stands in row {one.batch.row} already, and has its certificate by that")


def claim_key(profile: Profile, request: SigningRequest, renews: str) -> str:
    """What makes two requests of one device the same: the key and the names, not the bytes of the request.

    A client that re-signs the same request for a new TLS session must find its claim again (RFC 7030 §4.2.3), and
    base64 and ECDSA make equal requests unequal. `renews` is the serial of the certificate that was presented: a
    renewal that keeps its key asks for a new certificate each time.
    """
    parts = (profile.label, request.spki_sha256, request.subject.public_bytes(), request.san, renews)
    return hashlib.sha256(repr(parts).encode()).hexdigest()
