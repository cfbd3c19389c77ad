"""A certificate that somebody else has had issued: read with care, and named by its common name."""

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from shared.core import adoption
from shared.core.errors import Forbidden
from tests.core.making import DAY, DEVICE, NOW, Authority, subject
from tests.core.profiles import PROFILE

CA = Authority()


def test_the_device_is_the_common_name_and_the_label_the_profiles() -> None:
    leaf = CA.issue()
    device, kept = adoption.read(leaf, PROFILE, "id-1", NOW)
    assert device == DEVICE
    assert (kept.label, kept.source, kept.digicert_id, kept.status) == (PROFILE.label, "adopted", "id-1", "issued")
    assert kept.certificate.serial == f"{leaf.serial_number:x}"


@pytest.mark.parametrize(
    ("leaf", "why"),
    [
        (CA.issue(ends=NOW), "has expired"),
        (CA.issue(begins=NOW - 9 * DAY, ends=NOW - DAY), "has expired"),
        (CA.issue(extensions=[x509.BasicConstraints(ca=True, path_length=None)]), "of a CA"),
        (CA.issue(extensions=[x509.UnrecognizedExtension(ExtensionOID.BASIC_CONSTRAINTS, b"\x30")]), "cannot be read"),
        (CA.issue("no/device"), "names no device"),
        (CA.issue(x509.Name([*subject("one"), *subject("two")])), "once in subject.common_name"),
    ],
)
def test_what_names_no_device_of_now_is_not_taken(leaf: x509.Certificate, why: str) -> None:
    with pytest.raises(Forbidden, match=why):
        adoption.read(leaf, PROFILE, "", NOW)
