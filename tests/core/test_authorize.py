"""Who may enroll which device by which operation, given what the ledger knows: the whole table."""

from dataclasses import replace

import pytest
from cryptography import x509

from shared.core.certificate import serial_hex
from shared.core.errors import Forbidden
from shared.core.est import Operation
from shared.core.fleet import Block, Snapshot
from shared.core.identity import device_id
from shared.core.policy import authorize
from shared.core.principal import FactoryDevice, IssuedDevice, PasscodeHolder, Principal
from shared.core.profile import Profile
from tests.core.making import DAY, DEVICE, NOW, Authority, ec_key, request
from tests.core.profiles import PROFILE, device, ledger_certificate, snapshot, with_passcode

CA = Authority()
OLD = CA.issue(begins=NOW - 9 * DAY)
LEAF = CA.issue()
ME = device_id(DEVICE)

FACTORY, ISSUED, HOLDER = FactoryDevice(ME), IssuedDevice(ME, LEAF), PasscodeHolder("user")
PRINCIPALS: dict[str, tuple[Principal, Profile]] = {
    "factory certificate": (FACTORY, PROFILE),
    "issued certificate": (ISSUED, PROFILE),
    "passcode for new devices": (HOLDER, with_passcode("refuse")),
    "passcode for all devices": (HOLDER, with_passcode("accept")),
    "passcode that the profile does not know": (HOLDER, with_passcode(None)),
}
MINE = ledger_certificate(LEAF)
STATES: dict[str, Snapshot] = {
    "unknown": snapshot(None),
    "known without certificate": snapshot(device()),
    "enrolled": snapshot(device(), MINE),
    "certificate revoked": snapshot(device(), ledger_certificate(LEAF, "revoked")),
    "held": snapshot(device(block=Block.HOLD), MINE),
    "blocked for ever": snapshot(device(block=Block.REVOKED), MINE),
    "known in other case": snapshot(device(DEVICE.upper())),
    "enrolled under another label": snapshot(device(label="other"), MINE),
}
# One letter a state, in the order above: e for simpleenroll, r for simplereenroll, b for both, - for none.
TABLE = {
    "factory certificate": "eeee----",
    "issued certificate": "bbb----b",
    "passcode for new devices": "ee------",
    "passcode for all devices": "eebe----",
    "passcode that the profile does not know": "ee------",
}
ALLOWED = {"e": {Operation.SIMPLEENROLL}, "r": {Operation.SIMPLEREENROLL}, "-": set[Operation]()}
ALLOWED["b"] = ALLOWED["e"] | ALLOWED["r"]


@pytest.mark.parametrize("operation", [Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL])
@pytest.mark.parametrize(
    ("who", "state", "letter"),
    [(who, state, letter) for who, letters in TABLE.items() for state, letter in zip(STATES, letters, strict=True)],
)
def test_the_table_holds(who: str, state: str, letter: str, operation: Operation) -> None:
    principal, profile = PRINCIPALS[who]
    if operation in ALLOWED[letter]:
        authorize(profile, operation, principal, request(), STATES[state])
    else:
        with pytest.raises(Forbidden):
            authorize(profile, operation, principal, request(), STATES[state])


@pytest.mark.parametrize("who", PRINCIPALS)
def test_only_announced_devices_are_enrolled_where_there_is_a_manifest(who: str) -> None:
    principal, profile = PRINCIPALS[who]
    strict = replace(profile, unknown_devices="manifest")
    with pytest.raises(Forbidden, match="manifest"):
        authorize(strict, Operation.SIMPLEENROLL, principal, request(), snapshot(None))
    authorize(strict, Operation.SIMPLEENROLL, principal, request(), snapshot(device()))


def test_nobody_gets_past_with_a_request_for_another_device() -> None:
    for principal in (FACTORY, ISSUED):
        with pytest.raises(Forbidden, match="not the device"):
            authorize(PROFILE, Operation.SIMPLEENROLL, principal, request("device-2"), snapshot(None))


def test_the_certificate_being_renewed_is_the_one_presented() -> None:
    known = snapshot(device(), ledger_certificate(OLD, digicert_id="old"), ledger_certificate(LEAF, digicert_id="new"))
    renewed = authorize(PROFILE, Operation.SIMPLEENROLL, IssuedDevice(ME, OLD), request(), known)
    assert renewed is not None
    assert renewed.digicert_id == "old"
    assert authorize(PROFILE, Operation.SIMPLEENROLL, FACTORY, request(), known) is None
    assert authorize(PROFILE, Operation.SIMPLEENROLL, ISSUED, request(), snapshot(device())) is None


def test_another_certificate_being_revoked_does_not_stop_a_renewal() -> None:
    known = snapshot(device(), ledger_certificate(OLD, "revoked"), MINE)
    assert authorize(PROFILE, Operation.SIMPLEREENROLL, ISSUED, request(), known) == MINE
    with pytest.raises(Forbidden, match="revoked"):
        authorize(PROFILE, Operation.SIMPLEREENROLL, IssuedDevice(ME, OLD), request(), known)


def test_a_passcode_renewal_finds_the_newest_certificate_that_is_not_revoked() -> None:
    profile = with_passcode("accept")
    newest = CA.issue(begins=NOW)
    known = snapshot(device(), ledger_certificate(OLD), ledger_certificate(newest, "revoked"), ledger_certificate(LEAF))
    assert authorize(profile, Operation.SIMPLEREENROLL, HOLDER, request(), known) == MINE


def test_a_passcode_renewal_asks_for_the_same_names() -> None:
    profile = with_passcode("accept")
    other = CA.issue(extensions=[x509.SubjectAlternativeName([x509.DNSName(DEVICE)])])
    with pytest.raises(Forbidden, match="subjectAltName differs"):
        authorize(profile, Operation.SIMPLEREENROLL, HOLDER, request(), snapshot(device(), ledger_certificate(other)))
    with pytest.raises(Forbidden, match="no certificate of this subject"):
        authorize(profile, Operation.SIMPLEREENROLL, HOLDER, request("device-2"), snapshot(device("device-2"), MINE))


def test_a_passcode_gives_a_lost_answer_again_but_only_the_newest() -> None:
    serial = serial_hex(LEAF)
    known = snapshot(device(latest=serial), MINE, claim=serial)
    authorize(PROFILE, Operation.SIMPLEENROLL, HOLDER, request(), known)
    refused = [
        snapshot(device(latest=serial), MINE),
        snapshot(device(latest=serial), MINE, claim=""),
        snapshot(device(latest=serial_hex(OLD)), MINE, ledger_certificate(OLD), claim=serial),
        snapshot(device(latest=serial), ledger_certificate(LEAF, "revoked"), claim=serial),
        snapshot(device(latest="77"), MINE, claim="77"),
        snapshot(device(), MINE, claim=""),
        Snapshot(None, known.claim, (MINE,)),
    ]
    for one in refused:
        with pytest.raises(Forbidden, match="new devices only"):
            authorize(PROFILE, Operation.SIMPLEENROLL, HOLDER, request(), one)


@pytest.mark.parametrize("principal", [FACTORY, HOLDER])
def test_credentials_of_one_label_cannot_take_over_a_device_of_another(principal: Principal) -> None:
    known = snapshot(device(label="other"), MINE)
    with pytest.raises(Forbidden, match="another label"):
        authorize(with_passcode("accept"), Operation.SIMPLEENROLL, principal, request(), known)


def test_the_key_may_stay_or_change_at_renewal() -> None:
    for key in (ec_key(1), ec_key(2)):
        authorize(PROFILE, Operation.SIMPLEREENROLL, ISSUED, request(key=key), snapshot(device(), MINE))
