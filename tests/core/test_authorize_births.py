"""Who may enroll by an operator's word: one-time passcodes, manifests, single requests and rows of batches."""

from dataclasses import replace

import pytest

from shared.core.errors import Conflict, Forbidden
from shared.core.est import Operation
from shared.core.fleet import BatchRow, Block, Expected
from shared.core.identity import device_id
from shared.core.passcode import OneTimePasscode
from shared.core.policy import authorize, check_once_in_batch
from shared.core.principal import FactoryDevice, OneTimePasscodeHolder, Operator, PasscodeHolder, Principal
from tests.core.making import DAY, DEVICE, NOW, Authority, request
from tests.core.profiles import PROFILE, device, ledger_certificate, snapshot

ME = device_id(DEVICE)
LEAF = Authority().issue()
MINE = ledger_certificate(LEAF)
SALT = b"salt"
PASSCODE = OneTimePasscode(SALT, b"digest", NOW + DAY)
OPERATOR, HOLDER = Operator("ada", ME), OneTimePasscodeHolder(ME, SALT)
FACTORY = FactoryDevice(ME, "ab" * 32, "SN-1")
ENROLL, RENEW = Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL
STRICT = replace(PROFILE, unknown_devices="manifest")


def test_the_holder_of_a_passcode_gets_in_while_it_is_his() -> None:
    owner = replace(device(), passcode=PASSCODE)
    assert authorize(PROFILE, ENROLL, HOLDER, request(), snapshot(owner, MINE)) is None
    for passcode in (None, replace(PASSCODE, salt=b"later")):
        with pytest.raises(Forbidden, match="another one-time passcode since"):
            authorize(PROFILE, ENROLL, HOLDER, request(), snapshot(replace(owner, passcode=passcode)))
    with pytest.raises(Forbidden, match="another one-time passcode since"):
        authorize(PROFILE, ENROLL, HOLDER, request(), snapshot(None))


def test_a_burnt_passcode_gives_its_answer_again_and_nothing_else() -> None:
    owner = replace(device(), passcode=PASSCODE.burnt(SALT, "key"))
    authorize(PROFILE, ENROLL, HOLDER, request(), snapshot(owner, MINE, claim=MINE.certificate.serial))
    other = replace(owner, passcode=PASSCODE.burnt(SALT, "another key"))
    for known in (snapshot(owner, MINE), snapshot(other, MINE, claim=MINE.certificate.serial)):
        with pytest.raises(Forbidden, match="has been used"):
            authorize(PROFILE, ENROLL, HOLDER, request(), known)


def test_a_passcode_renews_the_certificate_of_that_name() -> None:
    owner = replace(device(), passcode=PASSCODE)
    assert authorize(PROFILE, RENEW, HOLDER, request(), snapshot(owner, MINE)) == MINE


@pytest.mark.parametrize("principal", [OPERATOR, HOLDER], ids=["operator", "one-time passcode"])
def test_neither_passes_a_block_or_another_label(principal: Principal) -> None:
    for known, text in (
        (snapshot(replace(device(block=Block.HOLD), passcode=PASSCODE), MINE), "blocked"),
        (snapshot(replace(device(label="other"), passcode=PASSCODE), MINE), "under another label"),
        (
            snapshot(replace(device(label="other"), expected=Expected()), claim=None),
            "manifest has the device under another",
        ),
    ):
        with pytest.raises(Forbidden, match=text):
            authorize(PROFILE, ENROLL, principal, request(), known)


def test_an_operator_asks_for_any_device_of_the_label() -> None:
    for known in (snapshot(None), snapshot(device(), MINE), snapshot(device(label="other"))):
        assert authorize(PROFILE, ENROLL, OPERATOR, request(), known) is None
    with pytest.raises(Forbidden, match="not the device"):
        authorize(PROFILE, ENROLL, OPERATOR, request("device-2"), snapshot(None))


@pytest.mark.parametrize(
    ("expected", "principal", "text"),
    [
        (Expected("ab" * 32, "SN-1"), FACTORY, ""),
        (Expected("", "SN-1"), FACTORY, ""),
        (Expected(), FACTORY, ""),
        (Expected(), PasscodeHolder("user"), ""),
        (Expected("cd" * 32, "SN-1"), FACTORY, "another factory certificate"),
        (Expected("ab" * 32, "SN-2"), FACTORY, "another hardware serial"),
        (Expected("", "SN-1"), PasscodeHolder("user"), "another hardware serial"),
        (Expected("ab" * 32), PasscodeHolder("user"), "another factory certificate"),
        (Expected("cd" * 32, "SN-2"), OPERATOR, ""),
        (Expected("cd" * 32, "SN-2"), HOLDER, ""),
    ],
)
def test_what_the_manifest_expects_must_be_shown_but_to_an_operators_word(
    expected: Expected, principal: Principal, text: str
) -> None:
    known = snapshot(replace(device(), expected=expected, passcode=PASSCODE))
    if text:
        with pytest.raises(Forbidden, match=text):
            authorize(STRICT, ENROLL, principal, request(), known)
    else:
        authorize(STRICT, ENROLL, principal, request(), known)


def test_where_there_is_a_manifest_a_device_that_another_label_awaits_is_not_on_it() -> None:
    """But one that was born there may move."""
    with pytest.raises(Forbidden, match="not on the manifest"):
        authorize(STRICT, ENROLL, FACTORY, request(), snapshot(device(label="other")))
    with pytest.raises(Forbidden, match="enrolled under another label"):
        authorize(STRICT, ENROLL, FACTORY, request(), snapshot(device(label="other"), MINE))


def test_a_device_gets_one_certificate_of_a_batch_by_the_row_that_came_first() -> None:
    known = snapshot(device(), MINE, replace(MINE, batch=BatchRow("b-1", 7)))
    check_once_in_batch(known, BatchRow("b-1", 7))
    check_once_in_batch(known, BatchRow("b-2", 8))
    with pytest.raises(Conflict, match="the device stands in row 7 already"):
        check_once_in_batch(known, BatchRow("b-1", 8))
