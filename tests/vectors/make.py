"""Makes the requests in `made/`: `python -m tests.vectors.make`. The same bytes each time; a test compares them.

They are the forms that real devices are known to emit and that cannot be had from a well-behaved library. Keys are
fixed numbers and ECDSA is deterministic (RFC 6979), so nothing here is secret or random.
"""

import base64
import json
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.core import asn1
from tests.core.making import DEVICE, ec_key, raw_csr, signed, spki_of

FOLDER: Final = Path(__file__).parent / "made"

_SAN: Final = asn1.extension_request(asn1.dns_names(DEVICE))
_FALSE: Final = asn1.tlv(asn1.BOOLEAN, b"\x00")
_PASSWORD: Final = asn1.attribute(asn1.CHALLENGE_PASSWORD, asn1.tlv(asn1.PRINTABLE, b"+rrCir/7+EYu50T4"))
_PARAMETERS: Final = asn1.tlv(asn1.SEQUENCE, asn1.oid("1.2.840.10045.2.1"), asn1.oid("1.2.840.10045.3.1.7"))
_POINT: Final = ec_key().public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
_INFO: Final = asn1.tlv(asn1.SEQUENCE, asn1.integer(0), asn1.common_name(DEVICE), spki_of(ec_key()))

READ: Final = "the PKCS#10 request cannot be read"
ONCE: Final = "each attribute of the request must stand once and have one value"
OTHER: Final = "the request holds an attribute other than extensionRequest and challengePassword"

# Name → the request, and the text of its refusal; an empty text for one that is read.
VECTORS: Final[dict[str, tuple[bytes, str]]] = {
    "plain": (raw_csr(), ""),
    "printable-string-subject": (raw_csr(subject=asn1.common_name(DEVICE, asn1.PRINTABLE)), ""),
    "subject-alternative-name-and-tls-unique": (raw_csr(_SAN, _PASSWORD), ""),
    "freeipa-critical-false-spelt-out": (
        raw_csr(asn1.extension_request(asn1.extension(asn1.SAN, asn1.tlv(asn1.SEQUENCE), critical=_FALSE))),
        READ,
    ),
    "mitel-attribute-without-value": (raw_csr(asn1.attribute(asn1.UNSTRUCTURED_NAME)), ONCE),
    "attributes-not-sorted": (raw_csr(*sorted([_SAN, _PASSWORD], reverse=True), sort=False), READ),
    "attributes-left-out": (signed(_INFO, ec_key()), READ),
    "extension-request-twice": (raw_csr(_SAN, asn1.extension_request(asn1.dns_names("device-2"))), ONCE),
    "microsoft-extension-request": (
        raw_csr(asn1.attribute(asn1.MICROSOFT_EXTENSIONS, asn1.tlv(asn1.SEQUENCE)), _SAN),
        OTHER,
    ),
    "friendly-name": (raw_csr(asn1.attribute(asn1.FRIENDLY_NAME, asn1.tlv(asn1.BMP, b"\x00x"))), OTHER),
    "t61-subject": (
        raw_csr(subject=asn1.common_name(DEVICE, asn1.T61)),
        "each subject attribute must be a UTF8String or a PrintableString",
    ),
    "compressed-point": (
        raw_csr(spki=asn1.spki(_PARAMETERS, _POINT)),
        "the public key is not in its usual form; an EC point must be uncompressed",
    ),
    "version-1": (raw_csr(version=1), READ),
}


def files() -> dict[str, str]:
    """The name and the content of each file."""
    texts = {f"{name}.b64": base64.encodebytes(der).decode() for name, (der, _refusal) in VECTORS.items()}
    refusals = {name: refusal for name, (_der, refusal) in VECTORS.items()}
    return {**texts, "refusals.json": json.dumps(refusals, indent=2) + "\n"}


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_text(content)


if __name__ == "__main__":
    main()
