"""What DPS says when it asks for a hub, which hub it is told, and who is turned away."""

import json
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from shared.core.allocation import (
    Registration,
    check_admitted,
    choose,
    choose_hub,
    initial_twin,
    parse_registration,
    tags,
)
from shared.core.client_certificate import trust, verify
from shared.core.errors import Forbidden, Malformed
from shared.core.fleet import Block, Snapshot
from shared.core.identity import device_id
from shared.core.profile import Profile
from tests.core import asn1
from tests.core.making import DEVICE, NOW, Authority
from tests.core.profiles import PROFILE, device, ledger_certificate, snapshot

HUBS = ["hub-1.azure-devices.net", "hub-2.azure-devices.net"]
CA = Authority()
LEAF = CA.issue()
PEM = LEAF.public_bytes(Encoding.PEM).decode()
SHA = LEAF.fingerprint(SHA256()).hex()


def body(**changes: object) -> bytes:
    document: dict[str, object] = {
        "enrollmentGroup": {"enrollmentGroupId": "birthcert"},
        "deviceRuntimeContext": {"registrationId": DEVICE, "x509": {}},
        "linkedHubs": HUBS,
    }
    return json.dumps({**document, **changes}).encode()


def presenting(primary: object) -> bytes:
    context = {"registrationId": DEVICE, "x509": {"clientCertificates": {"primary": primary}}}
    return body(deviceRuntimeContext=context)


def test_a_request_of_dps_is_read() -> None:
    assert parse_registration(body()) == Registration(device_id(DEVICE), "birthcert", tuple(HUBS))


@pytest.mark.parametrize("group", [None, {}, {"enrollmentGroupId": None}])
def test_an_individual_enrollment_has_no_group(group: object) -> None:
    assert parse_registration(body(enrollmentGroup=group)).enrollment_group == ""


@pytest.mark.parametrize(
    "primary",
    [
        pytest.param({"info": {"sha256Thumbprint": SHA.upper()}}, id="thumbprint"),
        pytest.param({"certificate": PEM}, id="PEM"),
    ],
)
def test_the_presented_certificate_is_named_by_its_thumbprint(primary: object) -> None:
    assert parse_registration(presenting(primary)).thumbprint == SHA


def test_the_presented_certificate_comes_along_where_dps_shows_it() -> None:
    der = LEAF.public_bytes(Encoding.DER)
    for info in ({}, {"info": {"sha256Thumbprint": SHA.upper()}}):
        assert parse_registration(presenting({"certificate": PEM, **info})).certificate == der
    assert parse_registration(presenting({"info": {"sha256Thumbprint": SHA}})).certificate == b""
    assert parse_registration(presenting({"info": None, "certificate": "x"})).certificate == b""


def test_a_certificate_that_is_not_the_one_of_its_thumbprint_stays_behind() -> None:
    found = parse_registration(presenting({"certificate": PEM, "info": {"sha256Thumbprint": "ab" * 32}}))
    assert (found.thumbprint, found.certificate) == ("ab" * 32, b"")


def test_a_certificate_that_fits_into_no_queue_message_is_known_by_its_thumbprint_alone() -> None:
    names = x509.SubjectAlternativeName([x509.DNSName(f"{number:060}.example") for number in range(300)])
    large = CA.issue(extensions=[names])
    found = parse_registration(presenting({"certificate": large.public_bytes(Encoding.PEM).decode()}))
    assert (found.thumbprint, found.certificate) == (large.fingerprint(SHA256()).hex(), b"")


@pytest.mark.parametrize(
    "primary",
    [
        *(None, {}, "x", {"info": None}, {"info": {"sha256Thumbprint": 7}}, {"certificate": 7}, {"certificate": ""}),
        *({"certificate": "\ud800"}, {"certificate": PEM.replace("MII", "MIJ", 1)}),
    ],
)
def test_a_certificate_that_cannot_be_read_is_not_told(primary: object) -> None:
    assert parse_registration(presenting(primary)).thumbprint == ""


def test_a_certificate_of_a_version_that_does_not_exist_is_not_told() -> None:
    der = LEAF.public_bytes(Encoding.DER).replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020106"), 1)
    pem = f"-----BEGIN CERTIFICATE-----\n{b64encode(der).decode()}\n-----END CERTIFICATE-----\n"
    assert parse_registration(presenting({"certificate": pem})).thumbprint == ""


@pytest.mark.parametrize(
    "request_body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not JSON", id="not JSON"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b"[" * 200_000, id="nested without end"),
        pytest.param(b"9" * 10_000, id="a very long number"),
        pytest.param(body(deviceRuntimeContext=None), id="no context"),
        pytest.param(body(deviceRuntimeContext={}), id="no registration id"),
        pytest.param(body(deviceRuntimeContext={"registrationId": 7}), id="a number for an id"),
        pytest.param(body(deviceRuntimeContext={"registrationId": "a/b"}), id="no device id"),
        pytest.param(body(enrollmentGroup="x"), id="text for a group"),
        pytest.param(body(linkedHubs=None), id="no hubs"),
        pytest.param(body(linkedHubs="hub-1"), id="text for hubs"),
        pytest.param(body(linkedHubs={"hub-1": 1}), id="an object for hubs"),
        pytest.param(body(linkedHubs=[None]), id="null for a hub"),
    ],
)
def test_anything_else_is_malformed(request_body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_registration(request_body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
LIKE_DPS = st.fixed_dictionaries(
    {
        "deviceRuntimeContext": JSON
        | st.fixed_dictionaries(
            {"registrationId": JSON | st.just("d")},
            optional={"x509": JSON | st.fixed_dictionaries({"clientCertificates": JSON})},
        ),
        "linkedHubs": JSON | st.just(HUBS),
    },
    optional={"enrollmentGroup": JSON},
)


@given(
    st.binary(max_size=100)
    | JSON.map(lambda value: json.dumps(value).encode())
    | LIKE_DPS.map(lambda value: json.dumps(value).encode())
)
def test_any_body_is_a_registration_or_malformed(request_body: bytes) -> None:
    try:
        found = parse_registration(request_body)
    except Malformed:
        return
    assert all(isinstance(hub, str) for hub in found.linked_hubs)


def even(hubs: Iterable[str]) -> dict[str, int]:
    return dict.fromkeys(hubs, 1)


DEVICES = st.from_regex(r"[A-Za-z0-9:._-]{0,20}[A-Za-z0-9-]", fullmatch=True).map(device_id)
NAMES = st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=1, max_size=6, unique=True)


@given(DEVICES, NAMES, st.randoms(use_true_random=False))
def test_every_device_has_one_hub_whatever_the_order_and_the_case(name: str, hubs: list[str], random: object) -> None:
    chosen = choose_hub(device_id(name), even(hubs))
    shuffled = sorted(hubs, key=lambda _hub: random.random())  # type: ignore[attr-defined]
    assert chosen in hubs
    assert choose_hub(device_id(name), even(shuffled)) == chosen
    assert choose_hub(device_id(name.swapcase()), even(hubs)) == chosen


@given(DEVICES, NAMES)
def test_a_device_moves_only_to_a_hub_that_is_new(name: str, hubs: list[str]) -> None:
    before = choose_hub(device_id(name), even(hubs))
    assert choose_hub(device_id(name), even([*hubs, "added"])) in (before, "added")


def test_an_added_hub_takes_its_share_and_no_more() -> None:
    devices = [device_id(f"device-{number}") for number in range(2000)]
    three, four = even("abc"), even("abcd")
    moved = sum(choose_hub(one, three) != choose_hub(one, four) for one in devices)
    assert 400 < moved < 600
    for hub in four:
        assert 400 < sum(choose_hub(one, four) == hub for one in devices) < 600


def test_the_choice_is_the_same_for_ever() -> None:
    assert choose_hub(device_id("device-1"), even(HUBS)) == choose_hub(device_id("DEVICE-1"), even(HUBS[::-1]))
    assert [choose_hub(device_id(f"device-{n}"), even("abc")) for n in range(8)] == list("ccbaccbb")


def test_a_hub_gets_the_share_that_its_weight_gives_it() -> None:
    weights = {"a": 1, "b": 3, "c": 0}
    chosen = [choose_hub(device_id(f"device-{number}"), weights) for number in range(2000)]
    assert 1400 < chosen.count("b") < 1600
    assert "c" not in chosen
    assert choose_hub(device_id("device-1"), {"c": 0}) == "c"


def test_a_weight_that_grows_takes_devices_and_gives_none_away() -> None:
    for number in range(300):
        one = device_id(f"device-{number}")
        before, after = choose_hub(one, {"a": 1, "b": 1}), choose_hub(one, {"a": 1, "b": 2})
        assert after in (before, "b")


LINKED = {"hub-1": "HUB-1.azure-devices.net", "hub-2": "hub-2.azure-devices.net"}


def test_the_profile_says_how_a_hub_is_chosen() -> None:
    rule = replace(PROFILE, hubs=("hub-1", "hub-2"))
    one = next(name for n in range(99) if choose(rule, name := device_id(f"device-{n}"), LINKED, "") == LINKED["hub-2"])
    assert choose(replace(rule, allocation="static"), one, LINKED, LINKED["hub-2"]) == LINKED["hub-1"]
    weighted = replace(rule, allocation="weighted", hub_weights=(1, 0))
    assert choose(weighted, one, LINKED, LINKED["hub-2"]) == LINKED["hub-1"]
    assert choose(weighted, one, {"hub-2": LINKED["hub-2"]}, "") == LINKED["hub-2"]  # the only one that is linked


@pytest.mark.parametrize(
    ("current", "chosen"),
    [
        pytest.param("hub-1.azure-devices.net", "hub-1", id="where it is, in any case"),
        pytest.param("hub-9.azure-devices.net", "hub-2", id="where it is no hub of the profile any more"),
        pytest.param("", "hub-2", id="it is nowhere yet"),
    ],
)
def test_a_device_may_stay_where_it_is(current: str, chosen: str) -> None:
    rule = replace(PROFILE, hubs=("hub-1", "hub-2"))
    one = next(name for n in range(99) if choose(rule, name := device_id(f"device-{n}"), LINKED, "") == LINKED["hub-2"])
    assert choose(replace(rule, allocation="stay"), one, LINKED, current) == LINKED[chosen]


@pytest.mark.parametrize("key", ["currentIotHubHostName", "currentIoTHubHostName", "CURRENTIOTHUBHOSTNAME"])
def test_a_device_that_registers_again_says_where_it_is(key: str) -> None:
    again = parse_registration(body(deviceRuntimeContext={"registrationId": DEVICE, key: HUBS[0]}))
    assert again.current_hub == HUBS[0]
    assert parse_registration(body()).current_hub == ""


def admit(known: Snapshot, thumbprint: str, profile: Profile = PROFILE, now: datetime = NOW) -> None:
    check_admitted(known, profile, thumbprint, now)


@pytest.mark.parametrize("block", [Block.HOLD, Block.REVOKED])
def test_a_blocked_device_is_turned_away(block: Block) -> None:
    with pytest.raises(Forbidden, match="blocked"):
        admit(snapshot(device(block=block)), "")


def test_a_revoked_certificate_is_turned_away() -> None:
    known = snapshot(device(), ledger_certificate(LEAF, "revoked"))
    for thumbprint in (SHA, SHA.upper(), known.certificates[0].certificate.thumbprint_sha1.upper(), ""):
        with pytest.raises(Forbidden, match="revoked"):
            admit(known, thumbprint)


def test_where_dps_does_not_show_it_one_good_certificate_is_enough() -> None:
    admit(snapshot(device(), ledger_certificate(LEAF, "revoked"), ledger_certificate(CA.issue())), "")


@pytest.mark.parametrize("thumbprint", [SHA, ""])
def test_an_expired_certificate_is_turned_away(thumbprint: str) -> None:
    known = snapshot(device(), ledger_certificate(LEAF))
    admit(known, thumbprint, now=LEAF.not_valid_after_utc)
    with pytest.raises(Forbidden, match="expired"):
        admit(known, thumbprint, now=LEAF.not_valid_after_utc + timedelta(seconds=1))


@pytest.mark.parametrize("thumbprint", [SHA, ""])
def test_a_certificate_that_is_too_old_is_turned_away(thumbprint: str) -> None:
    known, rule = snapshot(device(), ledger_certificate(LEAF)), replace(PROFILE, maximum_age_days=2)
    end = LEAF.not_valid_before_utc + timedelta(days=2)
    admit(known, thumbprint, rule, end)
    with pytest.raises(Forbidden, match="older than 2 days; renew"):
        admit(known, thumbprint, rule, end + timedelta(seconds=1))
    admit(known, "00" * 32, rule, end + timedelta(seconds=1))  # not one of ours: nothing is known of its age


def test_a_device_must_be_on_the_manifest_where_there_is_one() -> None:
    rule = replace(PROFILE, unknown_devices="manifest")
    with pytest.raises(Forbidden, match="manifest"):
        admit(snapshot(None), "", rule)
    admit(snapshot(device()), "", rule)


def test_the_initial_twin_says_which_certificate_the_device_has() -> None:
    first, newest = ledger_certificate(LEAF), ledger_certificate(CA.issue())
    known = snapshot(device(latest=newest.certificate.serial), first, newest)
    told = {
        "serial": first.certificate.serial,
        "thumbprint": SHA,
        "notAfter": LEAF.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "profile": "devices",
    }
    assert initial_twin(known, SHA) == {"tags": {"certificate": told}}
    assert initial_twin(known, "") == {"tags": {"certificate": tags(newest)}}
    for nothing in (
        initial_twin(known, "00" * 32),
        initial_twin(snapshot(None), ""),
        initial_twin(snapshot(None), SHA),
    ):
        assert nothing == {}


def rewritten(leaf: x509.Certificate) -> x509.Certificate:
    """The same certificate with the other of the two ways to write its ECDSA signature."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = decode_dss_signature(leaf.signature)
    signature = asn1.tlv(asn1.BIT_STRING, b"\x00", encode_dss_signature(r, order - s))
    algorithm = asn1.tlv(asn1.SEQUENCE, asn1.oid(asn1.ECDSA_SHA256))
    return x509.load_der_x509_certificate(asn1.tlv(asn1.SEQUENCE, leaf.tbs_certificate_bytes, algorithm, signature))


def test_a_revoked_certificate_with_its_signature_rewritten_is_turned_away() -> None:
    disguised = rewritten(LEAF)
    thumbprint = disguised.fingerprint(SHA256()).hex()
    verify(disguised, trust((CA.certificate,)), NOW)
    assert thumbprint != SHA
    good = CA.issue()
    known = snapshot(device(), ledger_certificate(LEAF, "revoked"), ledger_certificate(good))
    with pytest.raises(Forbidden, match="revoked"):
        admit(known, thumbprint)
    admit(known, good.fingerprint(SHA256()).hex())


def test_everybody_else_is_let_in() -> None:
    for known in (snapshot(None), snapshot(device()), snapshot(device(), ledger_certificate(LEAF))):
        for thumbprint in ("", SHA, "00" * 32):
            admit(known, thumbprint)
