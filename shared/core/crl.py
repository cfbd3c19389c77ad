"""Certificate revocation lists (RFC 5280 §5): whether one may be believed, and what is new on it.

A list may hold a million entries. They are walked once and none is kept but what is new; what was seen before is known
by a mark of eight bytes. The dates of the entries do not tell what is new: DigiCert ONE dates a revocation back to the
beginning of the certificate's validity unless it is told another date.
"""

import base64
import heapq
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from shared.core.certificate import CLOCK_SKEW
from shared.core.errors import UpstreamRefused
from shared.core.issuer import names_of
from shared.core.revocation import Reason

type Marks = array[int]

# The text of a part stays well below the 32 Ki characters that a property in Table Storage may have.
_PER_PART: Final = 2000
_PRIME: Final = (1 << 61) - 1
_SPREAD: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Revoked:
    """An entry of a list. The serial number is lower-case hex, as everywhere here."""

    serial: str
    at: datetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list says. `number` is 0 where it has none, `next_update` None where it promises no other list.

    `new` are the newest entries that were not seen before, `left` tells how many more there are. `remembered` are the
    marks of those that were seen before.
    """

    issuer: str  # RFC 4514, as the ledger has it of a certificate
    signer: str  # the CA by its key, which a CA of the same name does not share
    number: int
    issued: datetime
    next_update: datetime | None
    total: int
    new: tuple[Revoked, ...]
    left: int
    remembered: Marks


@dataclass(frozen=True, slots=True)
class Last:
    """What is known of the list that was read last from the same address. `seen` are sorted marks of its entries."""

    signer: str = ""
    number: int = 0
    issued: datetime | None = None
    seen: Marks = field(default_factory=lambda: array("Q"))


def read(der: bytes, issuers: Iterable[x509.Certificate], *, last: Last, most: int, now: datetime) -> Listed:
    """What the list says, if one of the issuers has signed it and it is not older than the last one.

    `most` bounds `new`. Another CA's list has numbers and serial numbers of its own. Raises UpstreamRefused. A list
    that should have been replaced by now is read: what it revokes is revoked. Takes seconds for a million entries.
    """
    try:
        crl = x509.load_der_x509_crl(der)
        number = _number(crl)
        signer = names_of(_signer(crl, issuers, now))[0]
        if signer != last.signer:
            last = Last()
        _check_order(crl, number, last)
        return _walk(crl, signer, number, last.seen, most)
    except UpstreamRefused:
        raise
    except Exception as error:  # a list's properties are parsed lazily and raise without a common base
        raise UpstreamRefused("the CRL cannot be read", cause=repr(error)) from error


def _number(crl: x509.CertificateRevocationList) -> int:
    """RFC 5280 §5.2.3. Raises UpstreamRefused for a list that does not stand for itself, or is of no device's."""
    number = 0
    for extension in crl.extensions:
        match extension.value:
            case x509.CRLNumber(crl_number=found):
                number = found
            case x509.DeltaCRLIndicator():
                raise UpstreamRefused("the CRL is a delta: configure the address of the complete one")
            case x509.IssuingDistributionPoint(indirect_crl=True):
                raise UpstreamRefused("the CRL is of several issuers: configure the issuing CA's own")
            case x509.IssuingDistributionPoint(only_contains_ca_certs=ca, only_contains_attribute_certs=attribute):
                if ca or attribute:
                    raise UpstreamRefused("the CRL never lists devices' certificates: configure the one that does")
            case x509.UnrecognizedExtension(oid=oid) if extension.critical:  # RFC 5280 §5.2: it may not be used
                raise UpstreamRefused("the CRL cannot be understood", cause=f"critical extension {oid.dotted_string}")
            case _:
                pass
    return number


def _signer(
    crl: x509.CertificateRevocationList, issuers: Iterable[x509.Certificate], now: datetime
) -> x509.Certificate:
    signer = next((issuer for issuer in issuers if _has_signed(issuer, crl)), None)
    if signer is None:
        raise UpstreamRefused("the CRL is not signed by a CA of its label", cause=crl.issuer.rfc4514_string())
    if crl.last_update_utc > now + CLOCK_SKEW:
        raise UpstreamRefused("the CRL is of the future", cause=f"thisUpdate {crl.last_update_utc}")
    return signer


def _check_order(crl: x509.CertificateRevocationList, number: int, last: Last) -> None:
    """RFC 5280 §5.2.3: numbers rise. An old list played back would hide what was revoked since.

    Where numbers do not tell, the time does.
    """
    if number < last.number:
        raise UpstreamRefused("the CRL is older than the last one", cause=f"number {number} after {last.number}")
    issued = crl.last_update_utc
    if number == last.number and last.issued is not None and issued < last.issued:
        raise UpstreamRefused("the CRL is older than the last one", cause=f"thisUpdate {issued} after {last.issued}")


def _has_signed(issuer: x509.Certificate, crl: x509.CertificateRevocationList) -> bool:
    try:
        return issuer.subject == crl.issuer and crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError, InvalidSignature):  # a CA's key may be of a kind that signs no list
        return False


def _walk(crl: x509.CertificateRevocationList, signer: str, number: int, seen: Marks, most: int) -> Listed:
    """One pass; beside the marks it holds `most` entries at a time."""
    newest: list[tuple[datetime, int, x509.RevokedCertificate]] = []
    remembered = array("Q")
    total = fresh = 0
    for total, entry in enumerate(crl, 1):
        known = mark(entry.serial_number)
        place = bisect_left(seen, known)
        if place < len(seen) and seen[place] == known:
            remembered.append(known)
            continue
        fresh += 1
        keep = heapq.heappush if len(newest) < most else heapq.heappushpop
        keep(newest, (entry.revocation_date_utc, total, entry))
    new = [
        Revoked(f"{entry.serial_number:x}", at, reason)
        for at, _, entry in sorted(newest, reverse=True)
        if (reason := _reason(entry)) is not None
    ]
    return Listed(
        issuer=crl.issuer.rfc4514_string(),
        signer=signer,
        number=number,
        issued=crl.last_update_utc,
        next_update=crl.next_update_utc,
        total=total,
        new=tuple(new),
        left=fresh - len(newest),
        remembered=remembered,
    )


def _reason(entry: x509.RevokedCertificate) -> Reason | None:
    """No reason means `unspecified`; so do those that say nothing of a device, as a compromise of the CA.

    None for `removeFromCRL`, which takes a hold off (RFC 5280 §5.3.1): it has no place on a complete list, and no
    device may be blocked for it.
    """
    try:
        found = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return Reason.UNSPECIFIED
    if found is x509.ReasonFlags.remove_from_crl:
        return None
    return next((one for one in Reason if one.value == found.value), Reason.UNSPECIFIED)


def mark(serial: int) -> int:
    """Eight bytes that stand for a serial number. That a new one has an old one's mark is less likely than 2^-40."""
    return serial % _PRIME * _SPREAD & _MASK


def to_parts(marks: Iterable[int], count: int) -> list[str]:
    """The marks as texts of bounded length, in order: a part holds those with the same first bits."""
    bits = max(0, (count - 1) // _PER_PART).bit_length()
    parts: list[Marks] = [array("Q") for _ in range(1 << bits)]
    for one in marks:
        parts[one >> (64 - bits)].append(one)
    return [base64.b64encode(array("Q", sorted(part)).tobytes()).decode() for part in parts]


def part_of(mark: int, parts: int) -> int:
    """In which of so many parts the mark stands, if it does; of none the first."""
    return mark >> (64 - max(0, parts - 1).bit_length())


def from_parts(parts: Sequence[str]) -> Marks:
    """The marks of `to_parts`, sorted."""
    marks = array("Q")
    for part in parts:
        marks.frombytes(base64.b64decode(part))
    return marks
