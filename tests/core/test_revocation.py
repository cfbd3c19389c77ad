"""Verbs, reasons and steps of a block, and what they write into the device's record."""

from datetime import UTC, datetime

import pytest

from shared.core.blocking import Outcome, noted, opening, standing
from shared.core.errors import Malformed, Unavailable
from shared.core.fleet import Block, Device, Snapshot
from shared.core.identity import DeviceId
from shared.core.revocation import DIGICERT, STEPS, Reason, Step, Verb, reason, saga

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DEVICE = Device(DeviceId("dev-1"), "devices", NOW)
# https://dev.digicert.com/en/digicert-one/iot-device-manager/iot-certificates/revoke-certificate/
DIGICERT_WORDS = {
    "unspecified",
    "key_compromise",
    "affiliation_changed",
    "suspended",
    "cessation_of_operation",
    "certificate_hold",
    "privilege_withdrawn",
    "aa_compromise",
}


def test_every_reason_has_a_word_that_digicert_one_knows() -> None:
    assert set(DIGICERT) == set(Reason)
    assert set(DIGICERT.values()) <= DIGICERT_WORDS


def test_a_reason_is_read_by_its_name_in_the_rfc() -> None:
    assert reason("keyCompromise") is Reason.KEY_COMPROMISE
    with pytest.raises(Malformed, match="unspecified, keyCompromise"):
        reason("key_compromise")


def test_dps_comes_before_the_hub_and_a_hold_is_not_told_to_digicert_one() -> None:
    assert all(steps[:2] == ("dps", "hub") and steps[-1] == "announce" for steps in STEPS.values())
    assert [verb for verb, steps in STEPS.items() if "digicert" in steps] == ["revoke", "decommission"]


def test_a_saga_is_done_when_its_steps_are() -> None:
    made = saga("1", "hold", Reason.CERTIFICATE_HOLD, NOW, caller="me", comment="")
    for name in STEPS["hold"]:
        assert made.next == Step(name)
        made = made.with_step(Step(name, NOW))
    assert made.next is None


@pytest.mark.parametrize(("verb", "block"), [("revoke", Block.REVOKED), ("hold", Block.HOLD), ("restore", Block.NONE)])
def test_a_saga_begins_with_the_block(verb: Verb, block: Block) -> None:
    wanted = saga("1", verb, Reason.UNSPECIFIED, NOW, caller="me", comment="")
    change = opening(DEVICE, wanted)
    assert (change.device.block, change.saga) == (block, wanted)
    assert [one.id for one in change.events] == (["blocked-1"] if verb != "restore" else [])


def test_a_blocked_device_of_which_no_saga_is_known_gets_one() -> None:
    wanted = saga("1", "revoke", Reason.UNSPECIFIED, NOW, caller="me", comment="")
    assert standing(Block.REVOKED, None, wanted) is None


def test_a_step_that_is_done_stays_done() -> None:
    done = saga("1", "hold", Reason.UNSPECIFIED, NOW, caller="me", comment="").with_step(Step("dps", NOW))
    late = Outcome(failure=Unavailable("no", retry_after=1))
    change = noted(Snapshot(DEVICE, saga=done), DEVICE, done, name="dps", outcome=late, now=NOW)
    assert (change.saga, change.certificates, change.events) == (None, (), ())


def test_an_error_that_is_kept_is_short() -> None:
    begun = saga("1", "hold", Reason.UNSPECIFIED, NOW, caller="me", comment="")
    outcome = Outcome(failure=Unavailable("no", retry_after=1, cause="x" * 1000))
    change = noted(Snapshot(DEVICE, saga=begun), DEVICE, begun, name="dps", outcome=outcome, now=NOW)
    assert change.saga is not None
    assert len(change.saga.steps[0].error) == 300
