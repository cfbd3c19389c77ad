"""Reads the body of an enrollment or a group as DPS does: strict, certificates replaced by what is told about them.

Shapes: https://learn.microsoft.com/rest/api/iot-dps/service/individual-enrollment/create-or-update and
.../enrollment-group/create-or-update
"""

import base64
import binascii
import re
import secrets
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sandbox.dps.errors import bad_request, known_members, wire_time
from sandbox.dps.state import DpsState, Entry, Kind, new_etag

Json = dict[str, Any]

SETTINGS = {
    "attestation",
    "capabilities",
    "provisioningStatus",
    "reprovisionPolicy",
    "initialTwin",
    "allocationPolicy",
    "iotHubs",
    "customAllocationDefinition",
}
ID_FIELD: dict[Kind, str] = {"individual": "registrationId", "group": "enrollmentGroupId"}
OWN: dict[Kind, set[str]] = {
    "individual": {"registrationId", "deviceId", "optionalDeviceInformation"},
    "group": {"enrollmentGroupId"},
}
# What a client sends back when it puts what it got; it has no effect.
READ_ONLY = {"createdDateTimeUtc", "lastUpdatedDateTimeUtc", "etag", "registrationState"}
ENTRY_ID = re.compile(r"[A-Za-z0-9:._-]{0,127}[A-Za-z0-9-]")
INFO = {
    "subjectName",
    "sha1Thumbprint",
    "sha256Thumbprint",
    "issuerName",
    "notBeforeUtc",
    "notAfterUtc",
    "serialNumber",
    "version",
}


def members(kind: Kind) -> set[str]:
    return SETTINGS | OWN[kind] | READ_ONLY


def read_entry(state: DpsState, kind: Kind, entry_id: str, body: Json, known: Entry | None) -> Entry:
    """The entry that `body` describes, put in the place of `known`."""
    if str(body.get(ID_FIELD[kind], "")).lower() != entry_id.lower() or not ENTRY_ID.fullmatch(entry_id):
        raise bad_request(f"{ID_FIELD[kind]} is not the one of the path, or is no id.")
    now = wire_time(state.world.clock.now())
    document = {
        "capabilities": {"iotEdge": False},
        "provisioningStatus": "enabled",
        "reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": True},
        "allocationPolicy": "hashed",
    } | {name: value for name, value in body.items() if value is not None and name not in READ_ONLY}
    check_settings(state, document)
    attestation = known_members(document.get("attestation"), {"type", "x509", "symmetricKey", "tpm"}, "The attestation")
    entry = Entry(kind, entry_id, document, {})
    match attestation.get("type"):
        case "x509":
            document["attestation"] = read_x509(state, entry, attestation.get("x509"), known)
        case "symmetricKey":
            entry.keys = read_keys(state, attestation.get("symmetricKey") or {}, known)
            document["attestation"] = {"type": "symmetricKey"}
        case other:
            raise bad_request(f"The attestation type {other} is not supported here.")
    document["createdDateTimeUtc"] = now if known is None else known.document["createdDateTimeUtc"]
    document["lastUpdatedDateTimeUtc"] = now
    document["etag"] = new_etag()
    return entry


def check_settings(state: DpsState, document: Json) -> None:
    if document["provisioningStatus"] not in {"enabled", "disabled"}:
        raise bad_request("provisioningStatus is neither enabled nor disabled.")
    if document["allocationPolicy"] not in {"hashed", "geoLatency", "static", "custom"}:
        raise bad_request("allocationPolicy is unknown.")
    known_members(document["capabilities"], {"iotEdge"}, "capabilities")
    known_members(document["reprovisionPolicy"], {"updateHubAssignment", "migrateDeviceData"}, "reprovisionPolicy")
    twin = known_members(document.get("initialTwin") or {}, {"tags", "properties"}, "initialTwin")
    known_members(twin.get("properties") or {}, {"desired"}, "initialTwin.properties")
    for host in document.get("iotHubs") or []:
        if host not in state.hubs:
            raise bad_request(f"The hub {host} is not linked.")
    if document["allocationPolicy"] == "custom":
        definition = document.get("customAllocationDefinition")
        definition = known_members(definition, {"webhookUrl", "apiVersion"}, "customAllocationDefinition")
        if not str(definition.get("webhookUrl", "")).startswith("https://"):
            raise bad_request("webhookUrl is not an HTTPS address.")
        if str(definition.get("apiVersion", "")) < "2018-09-01-preview":
            raise bad_request("customAllocationDefinition.apiVersion is too old.")
    elif document["allocationPolicy"] == "static" and len(document.get("iotHubs") or []) == 0 and len(state.hubs) > 1:
        raise bad_request("A static allocation names its hub in iotHubs.")


def read_x509(state: DpsState, entry: Entry, given: object, known: Entry | None) -> Json:
    """Fills the entry's certificates. One of the three forms, the other two absent or null."""
    forms = {"clientCertificates"} if entry.kind == "individual" else {"signingCertificates", "caReferences"}
    x509_ = known_members(given, {"clientCertificates", "signingCertificates", "caReferences"}, "x509")
    present = {name: value for name, value in x509_.items() if value is not None}
    if len(present) != 1 or not present.keys() <= forms:
        raise bad_request(f"x509 holds exactly one of {', '.join(sorted(forms))}.")
    ((form, value),) = present.items()
    slots = known_members(value, {"primary", "secondary"}, form)
    slots = {name: slot for name, slot in slots.items() if slot is not None}
    if not slots:
        raise bad_request(f"{form} is empty.")
    if form == "caReferences":
        for name in slots.values():
            if name not in state.verified:
                raise bad_request(f"There is no verified certificate named {name}.")
        entry.ca_names = tuple(slots.values())
        return {"type": "x509", "x509": {form: slots}}
    for name, slot in slots.items():
        entry.certificates[name] = read_slot(name, slot, known)
        if form == "signingCertificates" and not is_ca(entry.certificates[name]):
            raise bad_request("A signing certificate has to be a CA's.")
    infos = {name: {"info": info(certificate)} for name, certificate in entry.certificates.items()}
    return {"type": "x509", "x509": {form: infos}}


def read_slot(name: str, slot: object, known: Entry | None) -> x509.Certificate:
    """A new certificate, or the `info` of the one that is there, which keeps it (as Microsoft's CLI does; that the
    service takes an `info` of another slot is not known, so that the sandbox refuses it).
    """
    members_ = known_members(slot, {"certificate", "info"}, f"The {name} certificate")
    text = members_.get("certificate")
    if text is not None:
        return read_certificate(str(text))
    told = known_members(members_.get("info"), INFO, "info")
    kept = None if known is None else known.certificates.get(name)
    if kept is None or told.get("sha256Thumbprint") != info(kept)["sha256Thumbprint"]:
        raise bad_request(f"The {name} certificate has no content, and its info is not of the one that is stored.")
    return kept


def read_certificate(text: str) -> x509.Certificate:
    """PEM, or base64 DER without armour."""
    try:
        if "-----BEGIN" in text:
            (certificate,) = x509.load_pem_x509_certificates(text.encode())
            return certificate
        return x509.load_der_x509_certificate(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error) as error:
        raise bad_request("The certificate is not one X.509 certificate.") from error


def is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def info(certificate: x509.Certificate) -> Json:
    return {
        "subjectName": certificate.subject.rfc4514_string(),
        "sha1Thumbprint": certificate.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303
        "sha256Thumbprint": certificate.fingerprint(hashes.SHA256()).hex().upper(),
        "issuerName": certificate.issuer.rfc4514_string(),
        "notBeforeUtc": wire_time(certificate.not_valid_before_utc),
        "notAfterUtc": wire_time(certificate.not_valid_after_utc),
        "serialNumber": f"{certificate.serial_number:X}",
        "version": 3,
    }


def read_keys(state: DpsState, given: Json, known: Entry | None) -> Json:
    """Keys that nobody names are made by the service, or stay."""
    known_members(given, {"primaryKey", "secondaryKey"}, "symmetricKey")
    keys = {name: base64.b64encode(secrets.token_bytes(64)).decode() for name in ("primaryKey", "secondaryKey")}
    keys |= {} if known is None else known.keys
    keys |= {name: value for name, value in given.items() if value is not None}
    state.world.secrets.extend(keys.values())
    return keys
