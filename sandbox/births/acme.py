"""A birth over ACME, by the library that certbot is made of: a new account, one order, no challenge."""

from pathlib import Path

from acme import client, crypto_util, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwa import ES256
from josepy.jwk import JWKEC
from requests import PreparedRequest, RequestException, Response
from requests.adapters import HTTPAdapter

from sandbox import device
from sandbox.births.given import Given
from sandbox.device import DeviceError, Identity, Key


class Trusting(HTTPAdapter):
    """Trusts the sandbox's TLS root alone, and asks no proxy: the library has no argument for either."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def send(self, request: PreparedRequest, *_: object, **__: object) -> Response:
        return super().send(request, timeout=device.TIMEOUT, verify=str(self.root))


def missing() -> str:
    return ""


def enroll(state: Path, name: str) -> Identity:
    given, key = Given.read(state), device.new_key("ec-p256")
    try:
        chain = ordered(account(given, state / "tls-root.pem"), key, name)
    except (errors.Error, RequestException, ValueError) as error:
        raise DeviceError(f"ACME: {error}") from error
    if chain[0].public_key() != key.public_key():
        raise DeviceError("ACME: the certificate is not for the key of the request")
    return Identity(key, tuple(chain))


def account(given: Given, root: Path) -> client.ClientV2:
    """A client with a new account, for which key id and HMAC vouch (RFC 8555, 7.3.4)."""
    key = account_key()
    network = client.ClientNetwork(key, alg=ES256)
    network.session.mount("https://", Trusting(root))
    acme = client.ClientV2(client.ClientV2.get_directory(given.acme_directory, network), network)
    held = key.public_key(), given.acme_key_id, given.acme_hmac_key
    binding = messages.ExternalAccountBinding.from_data(*held, acme.directory)
    acme.new_account(messages.NewRegistration.from_data(external_account_binding=binding))
    return acme


def account_key() -> JWKEC:
    return JWKEC(key=ec.generate_private_key(ec.SECP256R1()))


def ordered(acme: client.ClientV2, key: Key, name: str) -> list[x509.Certificate]:
    """The device id is the one `dns` identifier; the CSR has it as alternative name, and the CA makes the subject."""
    order = acme.new_order(crypto_util.make_csr(Identity(key, ()).pem(), [name]))
    return x509.load_pem_x509_certificates(acme.poll_and_finalize(order).fullchain_pem.encode())
