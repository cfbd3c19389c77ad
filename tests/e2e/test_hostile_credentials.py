"""Who may not ask: client certificates that prove nothing, forged headers, and passwords that are none."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from sandbox import device, pki
from sandbox.device import Identity
from tests.e2e import csr
from tests.e2e.est import BASE, PKCS10, Site, encoded, leaf, ordinary, refused

GOOD = encoded(csr.request())

NOW = datetime.now(UTC)
YEAR = timedelta(days=365)


def made(
    authority: pki.Authority,
    extensions: pki.Extensions | None = None,
    *,
    begin: datetime = NOW - YEAR,
    end: datetime = NOW + YEAR,
) -> Identity:
    """A certificate for the device's name: whose, for what and for how long is the test's to say."""
    key = device.new_key("ec-p256")
    granted = pki.leaf_extensions() if extensions is None else extensions
    subject = pki.common_name(csr.NAME)
    return Identity(key, (authority.issue(subject, key.public_key(), granted, not_before=begin, not_after=end),))


def expired(authority: pki.Authority) -> Identity:
    """It ended a minute ago: the sandbox's CAs are only a few minutes old, and this one was theirs to its end."""
    return made(authority, end=datetime.now(UTC) - timedelta(minutes=1))


def self_signed(name: str) -> Identity:
    own = pki.self_signed(name, ec.SECP256R1(), NOW, YEAR)
    return Identity(own.key, (own.certificate,))


def the_name_of(authority: pki.Authority) -> Identity:
    """A leaf that claims the factory CA as issuer and itself as signer."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = pki.builder_for(
        pki.common_name(csr.NAME), key.public_key(), pki.leaf_extensions(), NOW - YEAR, NOW + YEAR
    )
    return Identity(key, (builder.issuer_name(authority.certificate.subject).sign(key, hashes.SHA256()),))


def with_usage(usage: x509.KeyUsage) -> pki.Extensions:
    return [(x509.BasicConstraints(ca=False, path_length=None), True), (usage, True)]


ENCIPHERMENT = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=True,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)

# Time alone speaks against a certificate that has expired, and the label offers
# a password as another way: 401 with the challenge. All others are simply not trusted: 403, with no hint at why.
UNTRUSTED: dict[str, Callable[[pki.Authority], Identity]] = {
    "not yet valid": lambda factory: made(factory, begin=NOW + timedelta(days=2)),
    "another CA of the same name": lambda factory: made(pki.rogue_authority(factory)),
    "another CA": lambda _: made(pki.self_signed("Other CA", ec.SECP256R1(), NOW, YEAR)),
    "expired, and of another CA of the same name": lambda factory: expired(pki.rogue_authority(factory)),
    "expired, and for servers only": lambda factory: made(
        factory, pki.leaf_extensions(ExtendedKeyUsageOID.SERVER_AUTH), end=NOW - timedelta(minutes=1)
    ),
    "self-signed": lambda _: self_signed(csr.NAME),
    "self-signed under the factory CA's name": lambda _: self_signed("Sandbox Factory CA"),
    "its own signature, the factory CA's name": the_name_of,
    "for servers only": lambda factory: made(factory, pki.leaf_extensions(ExtendedKeyUsageOID.SERVER_AUTH)),
    "for any purpose": lambda factory: made(factory, pki.leaf_extensions(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)),
    "for encipherment": lambda factory: made(factory, with_usage(ENCIPHERMENT)),
    "a CA under the factory CA": lambda factory: made(factory, pki.ca_extensions(0)),
    "the factory CA itself": lambda factory: Identity(factory.key, (factory.certificate,)),
    "a leaf that may sign certificates": lambda factory: made(factory, with_usage(pki.key_usage(ca=True))),
    "an unknown critical extension": lambda factory: made(
        factory,
        [*pki.leaf_extensions(), (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)],
    ),
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_a_certificate_that_proves_nothing_is_forbidden(site: Site, case: str) -> None:
    stranger = UNTRUSTED[case](site.factory)
    with site.nothing_issued():
        refused(site.enroll(stranger, GOOD), 403, "the client certificate is not trusted here")


def test_an_expired_factory_certificate_is_told_so_and_offered_the_other_way(site: Site) -> None:
    with site.nothing_issued():
        refused(site.enroll(expired(site.factory), GOOD), 401, "the client certificate has expired")


def test_an_expired_issued_certificate_cannot_renew(site: Site) -> None:
    name = "hostile-late"
    key = device.new_key("ec-p256")
    born = Identity(key, (leaf(site.enroll(site.identity(name), ordinary(name, key))),))
    site.sandbox.control("PUT", "/clock", {"offset_seconds": timedelta(days=91).total_seconds()})
    try:
        for operation in ("simpleenroll", "simplereenroll"):
            with site.nothing_issued():
                answer = site.enroll(born, ordinary(name, key), operation=operation)
                refused(answer, 401, "the client certificate has expired")
    finally:
        site.sandbox.control("PUT", "/clock", {"offset_seconds": 0})


def test_a_factory_certificate_may_have_no_end(site: Site) -> None:
    """IEEE 802.1AR: an IDevID ends in 9999."""
    key = device.new_key("ec-p256")
    builder = pki.builder_for(
        pki.common_name("hostile-802-1ar"),
        key.public_key(),
        pki.leaf_extensions(),
        NOW - YEAR,
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    )
    authority = site.factory
    builder = builder.issuer_name(authority.certificate.subject).add_extension(authority.key_identifier, critical=False)
    endless = Identity(key, (builder.sign(authority.key, hashes.SHA256()),))
    leaf(site.enroll(endless, ordinary("hostile-802-1ar", key)))


def test_a_simple_factory_certificate_is_enough(site: Site) -> None:
    """No subjectAltName, no extended key usage, nothing but what a small factory CA writes."""
    leaf(site.enroll(made(site.factory, []), GOOD))


def test_nobody_at_all_is_asked_who_he_is(site: Site) -> None:
    with site.nothing_issued():
        for operation in ("simpleenroll", "simplereenroll"):
            refused(site.enroll(None, GOOD, operation=operation), 401, "a client certificate or a passcode")


def test_without_credentials_nothing_is_said_about_the_request(site: Site) -> None:
    with site.nothing_issued():
        for body in (b"", b"!!!", encoded(csr.rsa(1024).request())):
            refused(site.enroll(None, body), 401, "is required")
        refused(site.enroll(None, GOOD, headers=()), 401, "is required")


@pytest.mark.parametrize(
    "value",
    [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic NUNVQUNRVVZI",  # an enrollment code without a colon, as some of DigiCert's clients send it
        "Basic dXNlcjpwYXNz",
        "Basic ZGV2aWNlOg==",
        "Bearer x",
        "Digest username=device",
        "\xe9",
        pytest.param("Basic ZGV2aWNlOnDDpHNzd8O2cnQ=", id="a password beyond ASCII"),
        pytest.param("Basic ZGV2aWNlOv8=", id="a password that is no UTF-8"),
        pytest.param("Basic AAA=", id="NUL"),
    ],
)
def test_a_password_that_is_none_is_not_authenticated(site: Site, hostile: Identity, value: str) -> None:
    """A wrong password is not made good by a good certificate either."""
    with site.nothing_issued():
        refused(site.enroll(None, GOOD, headers=(PKCS10, ("Authorization", value))), 401)
        refused(site.enroll(hostile, GOOD, headers=(PKCS10, ("Authorization", value))), 401)


def test_a_password_does_not_make_an_untrusted_certificate_worse(site: Site) -> None:
    """A front end forwards any certificate: a device that has some other one beside its password is let in by that."""
    name = "hostile-two-ways"
    key = device.new_key("ec-p256")
    leaf(site.enroll(self_signed(name), ordinary(name, key), headers=(PKCS10, site.passcode())))


@pytest.mark.parametrize("operation", ["cacerts", "csrattrs"])
def test_reading_takes_any_credentials_and_none(site: Site, hostile: Identity, operation: str) -> None:
    """RFC 7030 sections 4.1.2 and 4.5: an expired certificate or a wrong password must not stand in the way."""
    for identity in (None, hostile, expired(site.factory), self_signed("x")):
        answer = site.call("GET", f"{BASE}/{operation}", headers=[("Authorization", "Basic !!!")], identity=identity)
        assert answer.status == 200
        assert not answer.values("WWW-Authenticate")
