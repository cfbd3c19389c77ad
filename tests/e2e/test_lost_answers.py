"""Answers that were lost or cannot be used: whether a certificate exists is not known, until the device asks again.

All devices ask first, one after the other, each met by its own fault. Then all of them ask again, at once: each must
wait a little, so that DigiCert ONE is asked what it has before it is asked for more.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from sandbox.device import Identity, new_key
from tests.e2e import wire
from tests.e2e.est import PKCS10, Newborn, Site, eventually, ordinary, path, refused
from tests.e2e.test_upstream_faults import plan
from tests.e2e.wire import Answer

LOST = {
    "drop": 504,
    "lose_answer": 504,
    "status 500": 504,
    "garbage": 504,
    "not_base64": 504,
    "wrong_key": 502,
    "other_issuer": 502,
    "expired": 502,
    "other_subject": 502,
}
CASES = [(label, kind) for label in ("est", "rest") for kind in LOST]
# After these, a good certificate lies at DigiCert ONE and the device does not have it.
ISSUED = {"lose_answer", "not_base64"}


@dataclass(frozen=True)
class Aftermath:
    device: Newborn
    first: Answer
    books: list[str]
    second: Answer


@pytest.fixture(scope="module")
def aftermath(outside: Site) -> dict[tuple[str, str], Aftermath]:
    asked: dict[tuple[str, str], tuple[Newborn, Answer, list[str]]] = {}
    for label, kind in CASES:
        device = outside.newborn(f"lost-{label}-{kind.replace(' ', '-').replace('_', '-')}", label)
        name, _, status = kind.partition(" ")
        plan(outside, label, name, status=int(status or 503))
        asked[label, kind] = device, device.ask(), device.on_the_books()
    with ThreadPoolExecutor(len(CASES)) as pool:
        again = list(pool.map(lambda case: asked[case][0].ask(), CASES))
    return {case: Aftermath(*asked[case], second) for case, second in zip(CASES, again, strict=True)}


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_the_device_is_told_what_to_do(aftermath: dict[tuple[str, str], Aftermath], case: tuple[str, str]) -> None:
    """504 means: ask again. 502 means that the CA answered with something no device may have."""
    words = "send the same request again" if LOST[case[1]] == 504 else "the CA"
    refused(aftermath[case].first, LOST[case[1]], words)


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_asking_again_gets_the_certificate_and_no_second_one(
    aftermath: dict[tuple[str, str], Aftermath], case: tuple[str, str]
) -> None:
    result = aftermath[case]
    assert len(result.books) == (1 if case[1] in ISSUED else 0)
    certificate = result.device.has(result.second)
    if result.books:
        assert result.books == [f"{certificate.serial_number:032X}"]
    repeated = result.device.has(result.device.ask())
    assert repeated == certificate


def test_a_device_that_hangs_up_before_its_answer_gets_it_when_it_asks_again(site: Site) -> None:
    device = site.newborn("hung-up")
    with wire.connected(site.tls(device.factory)) as connection:
        connection.sendall(wire.request("POST", path("simpleenroll"), device.body, (PKCS10,)))
    assert eventually(device.on_the_books)
    device.has(device.ask())


def test_a_renewal_whose_answer_was_lost_is_found_again(site: Site) -> None:
    """With the certificate of the device this time, so that it has another claim than its birth."""
    renewals = []
    for label in ("est", "rest", "individual"):
        born = site.newborn(f"renewal-lost-{label}", label)
        certified = Identity(born.key, (born.has(born.ask()),))
        key = new_key("ec-p256")
        renewal = Newborn(site, label, key, certified, ordinary(born.factory.name, key))
        plan(site, "est" if label == "individual" else label, "lose_answer")
        refused(renewal.ask(), 504, "send the same request again")
        assert len(renewal.on_the_books()) == 1
        renewals.append(renewal)
    with ThreadPoolExecutor(len(renewals)) as pool:
        for renewal, answer in zip(renewals, pool.map(lambda one: one.ask(), renewals), strict=True):
            renewal.has(answer)
