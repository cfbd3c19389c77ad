"""RFC 7030 §4.2.2: at simplereenroll the names are those of the certificate being renewed, byte for byte."""

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from shared.core.csr import SigningRequest, parse
from shared.core.errors import Forbidden
from shared.core.est import Operation
from shared.core.identity import device_id
from shared.core.names import certificate_san
from shared.core.policy import authorize
from shared.core.principal import IssuedDevice
from tests.core import asn1
from tests.core.making import DEVICE, Authority, raw_csr, request
from tests.core.profiles import PROFILE, snapshot

CA = Authority()
CN = x509.NameAttribute(NameOID.COMMON_NAME, DEVICE)
ORG = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Contoso")


def renew(presented: x509.Certificate, wish: SigningRequest, operation: Operation = Operation.SIMPLEREENROLL) -> None:
    authorize(PROFILE, operation, IssuedDevice(device_id(DEVICE), presented), wish, snapshot(None))


def named(*attributes: x509.NameAttribute[str]) -> x509.Certificate:
    return CA.issue(x509.Name(attributes))


def alternatives(*names: x509.GeneralName) -> x509.Certificate:
    return CA.issue(extensions=[x509.SubjectAlternativeName(names)])


OTHER_SUBJECTS = [
    pytest.param(named(CN, ORG), request(), id="an attribute fewer"),
    pytest.param(named(CN), request(name=x509.Name([CN, ORG])), id="an attribute more"),
    pytest.param(named(CN, ORG), request(name=x509.Name([ORG, CN])), id="another order"),
    pytest.param(
        named(CN, ORG),
        request(name=x509.Name([CN, x509.NameAttribute(NameOID.ORGANIZATION_NAME, "CONTOSO")])),
        id="another case",
    ),
    pytest.param(
        named(CN), parse(raw_csr(subject=asn1.common_name(DEVICE, asn1.PRINTABLE))), id="another type of string"
    ),
]


@pytest.mark.parametrize(("presented", "wish"), OTHER_SUBJECTS)
def test_another_subject_cannot_be_renewed_but_enrolled(presented: x509.Certificate, wish: SigningRequest) -> None:
    with pytest.raises(Forbidden, match="subject differs"):
        renew(presented, wish)
    renew(presented, wish, Operation.SIMPLEENROLL)


def test_the_same_subject_in_the_same_type_of_string_can_be_renewed() -> None:
    printable = x509.NameAttribute(NameOID.COMMON_NAME, DEVICE, _ASN1Type.PrintableString)
    renew(named(printable), parse(raw_csr(subject=asn1.common_name(DEVICE, asn1.PRINTABLE))))
    renew(named(CN), parse(raw_csr()))


A, B = x509.DNSName("a"), x509.DNSName("b")

OTHER_ALTERNATIVES = [
    pytest.param(alternatives(A), request(), id="removed"),
    pytest.param(CA.issue(), request(san=[A]), id="added"),
    pytest.param(alternatives(A), request(san=[B]), id="changed"),
    pytest.param(alternatives(A, B), request(san=[B, A]), id="reordered"),
    pytest.param(alternatives(A), request(san=[A, A]), id="doubled"),
    pytest.param(alternatives(A), request(san=[x509.UniformResourceIdentifier("a")]), id="another type"),
]


@pytest.mark.parametrize(("presented", "wish"), OTHER_ALTERNATIVES)
def test_another_alternative_name_cannot_be_renewed(presented: x509.Certificate, wish: SigningRequest) -> None:
    with pytest.raises(Forbidden, match="subjectAltName differs"):
        renew(presented, wish)


def test_the_same_alternative_names_can_be_renewed_dns_names_in_any_case() -> None:
    renew(alternatives(A, B), request(san=[A, B]))
    renew(alternatives(x509.DNSName("A")), request(san=[A]))


def test_a_certificate_without_alternative_name_has_none() -> None:
    assert certificate_san(CA.issue()) == ()
    assert certificate_san(alternatives(B, A)) == (("dns", "b"), ("dns", "a"))
