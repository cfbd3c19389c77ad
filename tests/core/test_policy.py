"""What a request may hold, and whom it may speak for."""

import ipaddress
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.x509.oid import NameOID

from shared.core.csr import parse
from shared.core.errors import Forbidden, Malformed
from shared.core.identity import device_id
from shared.core.policy import check_request, requested_device
from shared.core.principal import (
    FactoryDevice,
    IssuedDevice,
    OneTimePasscodeHolder,
    Operator,
    PasscodeHolder,
    Principal,
    kind,
)
from shared.core.profile import RequestRules
from tests.core import asn1
from tests.core.making import DEVICE, Authority, csr, ec_key, ed25519_key, raw_csr, request
from tests.core.profiles import RULES

ME = device_id(DEVICE)
LEAF = Authority().issue()
EVERYBODY: list[Principal] = [
    FactoryDevice(ME),
    IssuedDevice(ME, LEAF),
    PasscodeHolder("user"),
    OneTimePasscodeHolder(ME, b"salt"),
    Operator("ada", ME),
]


@pytest.mark.parametrize("principal", EVERYBODY, ids=kind)
def test_the_common_name_is_the_device(principal: Principal) -> None:
    assert requested_device(principal, request()) == DEVICE


def test_each_kind_of_principal_has_its_name_in_the_audit_record() -> None:
    assert [kind(one) for one in EVERYBODY] == [
        "factory certificate",
        "issued certificate",
        "passcode",
        "one-time passcode",
        "operator",
    ]


@pytest.mark.parametrize(
    "principal", [FactoryDevice(ME), IssuedDevice(ME, LEAF), OneTimePasscodeHolder(ME, b"salt")], ids=kind
)
@pytest.mark.parametrize("other", ["device-2", "DEVICE-1", "Device-1", "device-11", "device-"])
def test_nobody_speaks_for_another_device_not_even_in_other_case(principal: Principal, other: str) -> None:
    with pytest.raises(Forbidden, match="not the device"):
        requested_device(principal, request(other))


@pytest.mark.parametrize("principal", EVERYBODY, ids=kind)
def test_without_common_name_there_is_no_device(principal: Principal) -> None:
    with pytest.raises(Malformed, match="common name"):
        requested_device(principal, parse(raw_csr(subject=asn1.name())))


@pytest.mark.parametrize(
    "name", ["*", "*.example.com", "dev 1", "dev/1", "dev1.", "dev#1", "dév1", "\uff44ev1", "\u212aev1"]
)
def test_a_common_name_that_is_no_device_id_is_forbidden(name: str) -> None:
    with pytest.raises(Forbidden, match="no device id"):
        requested_device(PasscodeHolder("user"), parse(raw_csr(subject=asn1.common_name(name))))


def checked(der: bytes, rules: RequestRules = RULES) -> None:
    check_request(rules, parse(der), ME)


def test_a_plain_request_is_granted() -> None:
    checked(csr())


def test_a_key_that_the_profile_does_not_list_is_refused_and_the_text_lists_those_it_does() -> None:
    with pytest.raises(Malformed, match=r"ed25519; accepted are ec-p256, rsa-2048"):
        checked(csr(key=ed25519_key()))


def test_a_hash_that_the_profile_does_not_list_is_refused() -> None:
    with pytest.raises(Malformed, match=r"sha384; accepted are sha256"):
        checked(csr(digest=SHA384()))
    checked(csr(digest=SHA384()), replace(RULES, hashes=("sha384",)))


def test_ed25519_has_no_hash_to_choose() -> None:
    checked(csr(key=ed25519_key()), replace(RULES, keys=("ed25519",)))


CHALLENGED = raw_csr(asn1.attribute(asn1.CHALLENGE_PASSWORD, asn1.tlv(asn1.PRINTABLE, b"tls-unique")))


def test_a_challenge_password_cannot_be_verified() -> None:
    with pytest.raises(Malformed, match="cannot be verified") as refused:
        checked(CHALLENGED)
    assert "tls-unique" not in refused.value.public + refused.value.cause


def test_a_challenge_password_is_ignored_where_the_profile_says_so() -> None:
    checked(CHALLENGED, replace(RULES, ignores_challenge_password=True))


def test_subject_attributes_are_those_of_the_profile() -> None:
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Contoso"), x509.NameAttribute(NameOID.COMMON_NAME, DEVICE)]
    )
    with pytest.raises(Forbidden, match="may not hold organization"):
        checked(csr(name=name))
    checked(csr(name=name), replace(RULES, subject=frozenset({"common_name", "organization"})))


def test_an_attribute_without_a_name_can_be_granted_by_nobody() -> None:
    der = raw_csr(
        subject=asn1.name(
            asn1.name_attribute(asn1.COMMON_NAME, DEVICE.encode()), asn1.name_attribute("2.5.4.65", b"pseudonym")
        )
    )
    with pytest.raises(Forbidden, match=r"may not hold 2\.5\.4\.65"):
        checked(der)


DEVICE_SAN = replace(RULES, san=frozenset({"device_id"}))


def test_the_device_id_as_dns_name_is_granted_in_any_case_where_the_profile_says_so() -> None:
    checked(csr(san=[x509.DNSName(DEVICE)]), DEVICE_SAN)
    checked(csr(san=[x509.DNSName(DEVICE.upper())]), DEVICE_SAN)
    with pytest.raises(Forbidden, match="nothing but the device id"):
        checked(csr(san=[x509.DNSName(DEVICE)]))


@pytest.mark.parametrize(
    "san",
    [
        pytest.param([x509.DNSName("device-2")], id="another device"),
        pytest.param([x509.DNSName(DEVICE), x509.DNSName("device-2")], id="another device beside"),
        pytest.param([x509.DNSName("device-1.example.com")], id="a longer name"),
        pytest.param([x509.UniformResourceIdentifier(DEVICE)], id="the id as URI"),
        pytest.param([x509.RFC822Name("device-1@example.com")], id="e-mail"),
        pytest.param([x509.IPAddress(ipaddress.ip_address("192.0.2.1"))], id="IP address"),
    ],
)
def test_other_alternative_names_are_forbidden(san: list[x509.GeneralName]) -> None:
    with pytest.raises(Forbidden, match="nothing but the device id"):
        checked(csr(san=san), DEVICE_SAN)


def test_keys_of_two_requests_are_told_apart() -> None:
    assert request(key=ec_key(1)).spki_sha256 != request(key=ec_key(2)).spki_sha256
