"""What Azure's client reads of its configuration, and what it would refuse or leave out."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

type Check = Callable[[object], bool]


def text(value: object) -> bool:
    return isinstance(value, str)


def flag(value: object) -> bool:
    return isinstance(value, bool)


def url(value: object) -> bool:
    """`url::Url`; http would only be warned of, and is not for us."""
    return isinstance(value, str) and urlsplit(value).scheme == "https" and bool(urlsplit(value).hostname)


def file(value: object) -> bool:
    """`aziot_certd_config::PreloadedCert::Uri`: only file:// is supported."""
    return isinstance(value, str) and re.fullmatch(r"file:///[!-~]+", value) is not None


def files(value: object) -> bool:
    return isinstance(value, list) and all(map(file, value))


def key(value: object) -> bool:
    """`aziot_keys_common::PreloadedKeyLocation`: file or pkcs11."""
    return file(value) or (isinstance(value, str) and value.startswith("pkcs11:"))


def policy(value: object) -> bool:
    """`cert_renewal::Policy`: a share below 100 %, minutes or days."""
    return isinstance(value, str) and re.fullmatch(r"[1-9][0-9]?%|[1-9][0-9]*(min|day)", value) is not None


def word(expected: str) -> Check:
    return lambda value: value == expected


# What Azure/iot-identity-service at a6b1d16 (release 1.6.0) reads, as far as it is of use here. None of its structures
# refuses a key that it does not know, so that a misspelled one would be left out without a word.
# aziotctl/aziotctl-common/src/config/super_config.rs: ProvisioningType::Dps, DpsAttestationMethod::X509, X509Identity,
# CertIssuanceOptions with CertIssuanceMethod::Est and EstAuth, Est.
# cert/cert-renewal/src/lib.rs: AutoRenewConfig, whose three members must all be there.
# cert/aziot-certd-config/src/lib.rs: EstAuthBasic, CertSubject.
RENEWAL: Final[dict[str, Check]] = {"rotate_key": flag, "threshold": policy, "retry": policy}
REQUIRED: Final[dict[str, dict[str, Check]]] = {
    "provisioning": {"source": word("dps"), "global_endpoint": url, "id_scope": text},
    "provisioning.attestation": {"method": word("x509"), "registration_id": text},
    "provisioning.attestation.identity_cert": {"method": word("est"), "common_name": text, "url": url},
    "provisioning.attestation.identity_cert.auto_renew": RENEWAL,
    "cert_issuance.est.identity_auto_renew": RENEWAL,
}
OPTIONAL: Final[dict[str, dict[str, Check]]] = {
    "provisioning.attestation": {"identity_cert": file, "identity_pk": key},
    "provisioning.attestation.identity_cert": {
        "bootstrap_identity_cert": file,
        "bootstrap_identity_pk": key,
        "username": text,
        "password": text,
    },
    "cert_issuance.est": {"trusted_certs": files},
}


def tables(content: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each table with its own keys, and no tables among them."""
    below = {name: value for name, value in content.items() if isinstance(value, dict)}
    if path:
        yield path, {name: value for name, value in content.items() if name not in below}
    for name, value in below.items():
        yield from tables(value, f"{path}.{name}".lstrip("."))


def problems(content: dict[str, Any]) -> list[str]:
    """What the client would refuse, or leave out."""
    found = []
    for path, keys in tables(content):
        required, optional = REQUIRED.get(path, {}), OPTIONAL.get(path, {})
        known = {**required, **optional}
        found += [f"{path}.{name}: is missing" for name in required if name not in keys]
        found += [f"{path}.{name}: is not known" for name in keys if name not in known]
        found += [
            f"{path}.{name}: {value!r}" for name, value in keys.items() if name in known and not known[name](value)
        ]
    return found
