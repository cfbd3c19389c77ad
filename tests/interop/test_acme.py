"""The ACME library of certbot against the stand-in for DigiCert ONE: external account binding, and no challenge."""

from dataclasses import replace

import pytest
from acme import client, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import device, pki
from sandbox.births import acme
from sandbox.births.given import Given
from tests.conftest import Running


@pytest.fixture
def given(sandbox: Running) -> Given:
    return Given.read(sandbox.state)


@pytest.fixture
def account(sandbox: Running, given: Given) -> client.ClientV2:
    return acme.account(given, sandbox.tls_root)


def csr_for(common_name: str, *alternative: str) -> bytes:
    subject = pki.common_name(common_name) if common_name else x509.Name([])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName(map(x509.DNSName, alternative)), critical=False)
    return builder.sign(device.new_key("ec-p256"), hashes.SHA256()).public_bytes(Encoding.PEM)


def fullchain(account: client.ClientV2, csr: bytes) -> list[x509.Certificate]:
    order = account.poll_and_finalize(account.new_order(csr))
    return x509.load_pem_x509_certificates(order.fullchain_pem.encode())


def test_one_account_orders_for_many_devices_and_again_to_renew(account: client.ClientV2) -> None:
    key = device.new_key("ec-p256")
    first, second, again = (acme.ordered(account, key, name) for name in ("acme-1", "acme-2", "acme-1"))
    assert [device.common_name(leaf) for leaf, _ in (first, second, again)] == ["acme-1", "acme-2", "acme-1"]
    first[0].verify_directly_issued_by(first[1])
    assert first[0].serial_number != again[0].serial_number


@pytest.mark.parametrize(
    ("csr", "name"),
    [(("", "acme-Mixed"), "acme-Mixed"), (("acme-CN",), "acme-CN"), (("acme-Both", "acme-Both"), "acme-Both")],
)
def test_the_common_name_is_the_device_id_as_the_request_spells_it(
    account: client.ClientV2, csr: tuple[str, ...], name: str
) -> None:
    assert device.common_name(fullchain(account, csr_for(*csr))[0]) == name


def test_the_order_is_ready_at_once_and_its_authorization_valid_without_a_challenge(account: client.ClientV2) -> None:
    order = account.new_order(csr_for("", "acme-ready"))
    assert order.body.status == messages.STATUS_READY
    (authorization,) = order.authorizations
    assert (authorization.body.status, list(authorization.body.challenges)) == (messages.STATUS_VALID, [])


@pytest.mark.parametrize("wrong", [{"acme_key_id": "wrong"}, {"acme_hmac_key": "d3Jvbmc"}])
def test_nobody_gets_an_account_with_a_wrong_binding(sandbox: Running, given: Given, wrong: dict[str, str]) -> None:
    with pytest.raises(messages.Error) as refused:
        acme.account(replace(given, **wrong), sandbox.tls_root)
    assert refused.value.code == "unauthorized"


def test_an_account_needs_a_binding_and_a_key_has_one_account(account: client.ClientV2) -> None:
    assert account.external_account_required()
    account.net.account = None
    with pytest.raises(errors.ConflictError):
        account.new_account(messages.NewRegistration())
    other = client.ClientNetwork(acme.account_key(), alg=account.net.alg)
    other.session = account.net.session
    with pytest.raises(messages.Error) as refused:
        client.ClientV2(account.directory, other).new_account(messages.NewRegistration())
    assert refused.value.code == "externalAccountRequired"


@pytest.mark.parametrize("csr", [csr_for("acme-other"), csr_for("acme-this", "acme-other"), csr_for("", "acme-other")])
def test_the_request_must_name_the_device_that_was_ordered(account: client.ClientV2, csr: bytes) -> None:
    order = account.new_order(csr_for("", "acme-this"))
    with pytest.raises(messages.Error) as refused:
        account.begin_finalization(order.update(csr_pem=csr))
    assert refused.value.code == "badCSR"


def test_a_device_id_that_is_no_host_name_cannot_be_ordered(account: client.ClientV2) -> None:
    with pytest.raises(messages.Error) as refused:
        account.new_order(csr_for("", "acme_1"))
    assert refused.value.code == "rejectedIdentifier"
    with pytest.raises(messages.Error) as refused:
        account.new_order(csr_for("acme-1", "acme-2"))
    assert refused.value.code == "malformed"
