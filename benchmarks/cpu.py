"""CPU time of one enrollment, from the request to the answer, beside the cryptography that it cannot do without.

Product and bare cryptography take turns over the same devices in the same process; a case's figure is the median of
many turns. The ports are in memory, so the CPU of the Azure SDKs and of HTTP is not in it (see the sandbox's figures).
"""

import asyncio
import base64
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store

from benchmarks import material
from benchmarks.material import Authorities, Prepared
from functions import est
from shared import telemetry, wiring
from shared.flows.application import Application

DEVICES = 16
ROUNDS = 60

# The verifier's own rules, which would ask a device certificate for names that factories do not put in.
LEAF = (
    ExtensionPolicy.webpki_defaults_ee()
    .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
)
CA = ExtensionPolicy.webpki_defaults_ca()

# Name, the kind of the device's keys, what it presents.
CASES = (
    ("birth, factory certificate, EC P-256", "ec-p256", "factory"),
    ("renewal, issued certificate, EC P-256", "ec-p256", "issued"),
    ("birth, passcode, EC P-256", "ec-p256", "passcode"),
    ("birth, factory certificate, RSA-2048", "rsa-2048", "factory"),
    ("renewal, issued certificate, RSA-2048", "rsa-2048", "issued"),
)


@dataclass(frozen=True)
class Figure:
    """Microseconds of CPU for one enrollment."""

    name: str
    product_us: float
    bare_us: float

    @property
    def ratio(self) -> float:
        return self.product_us / self.bare_us


class _Formatting(logging.Handler):
    """Renders each record, as the Functions worker's handler does, and drops it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.format(record)


def measure(say: Callable[[str], None]) -> list[Figure]:
    made = material.authorities()
    telemetry.setup()
    handler = _Formatting()
    logging.getLogger().addHandler(handler)
    try:
        return [_figure(made, name, kind, presents, say) for name, kind, presents in CASES]
    finally:
        logging.getLogger().removeHandler(handler)


def _figure(made: Authorities, name: str, kind: str, presents: str, say: Callable[[str], None]) -> Figure:
    devices = [material.prepare(made, f"device-{number}", kind, presents) for number in range(DEVICES)]
    store = Store([made.hierarchy.ica.certificate if presents == "issued" else made.factory.certificate])
    figure = asyncio.run(_compared(name, material.application(made, devices), made, devices, store))
    say(f"{name}: {figure.product_us:.0f} µs, bare {figure.bare_us:.0f} µs, ratio {figure.ratio:.2f}")
    return figure


async def _compared(name: str, app: Application, made: Authorities, devices: list[Prepared], store: Store) -> Figure:
    for one in devices:
        await _check(app, one, bare(one, made.chain[0], store))
    product, alone = [], []
    for _ in range(ROUNDS):
        began = time.process_time()
        for one in devices:
            (await est.answer(app, material.request(one), "request-id")).get_body()
        between = time.process_time()
        for one in devices:
            bare(one, made.chain[0], store)
        product.append(between - began)
        alone.append(time.process_time() - between)
    return Figure(name, _per_device(product), _per_device(alone))


async def _check(app: Application, one: Prepared, expected: bytes) -> None:
    """The product must have done the work: the same certificate in the same PKCS#7."""
    response = await est.answer(app, material.request(one), "request-id")
    if response.status_code != 200 or base64.b64decode(response.get_body()) != expected:
        raise RuntimeError(f"the product answered {response.status_code} {response.get_body()[:200]!r}")


def _per_device(seconds: list[float]) -> float:
    return median(seconds) / DEVICES * 1e6


def bare(one: Prepared, issuer: x509.Certificate, store: Store) -> bytes:
    """What nobody can leave out: read and verify request, client certificate and issued certificate; write PKCS#7."""
    csr = x509.load_der_x509_csr(one.csr)
    if not csr.is_signature_valid:
        raise RuntimeError("the request is not signed by its key")
    if one.client:
        client = x509.load_der_x509_certificate(one.client)
        PolicyBuilder().store(store).time(wiring.now()).extension_policies(
            ee_policy=LEAF, ca_policy=CA
        ).build_client_verifier().verify(client, [])
    issued = x509.load_der_x509_certificate(one.issued)
    issued.verify_directly_issued_by(issuer)
    return pkcs7.serialize_certificates([issued], Encoding.DER)
