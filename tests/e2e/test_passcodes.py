"""Devices without a factory certificate, and devices that a manifest awaits: who is let in over EST, and how often."""

import pytest
from cryptography.hazmat.primitives import hashes

from sandbox import device
from sandbox.device import Identity
from tests.e2e.est import PKCS10, Site, leaf, ordinary, refused
from tests.e2e.factories import Factory
from tests.e2e.living import register
from tests.e2e.operators import Operator, problem, read
from tests.e2e.wire import Answer

LABEL = "factory"


@pytest.fixture
def factory(operator: Operator) -> Factory:
    return Factory(operator)


def enroll(site: Site, body: bytes, user: str, passcode: str) -> Answer:
    return site.enroll(None, body, LABEL, [PKCS10, site.passcode(f"{user}:{passcode}")])


def test_a_passcode_lets_its_device_in_once_and_gives_a_lost_answer_again(factory: Factory, site: Site) -> None:
    name, key = "once-1", device.new_key("ec-p256")
    assert problem(factory.passcode(name, label=LABEL))[:2] == (404, "NotFound")
    factory.manifest([{"device_id": name}])
    answer = factory.passcode(name, label=LABEL, valid_hours=1)
    assert answer.status == 201
    made = read(answer)
    refused(enroll(site, ordinary(name, key), name, "wrong"), 401)
    refused(enroll(site, ordinary("once-2", key), name, made["passcode"]), 403)
    first = leaf(enroll(site, ordinary(name, key), made["user"], made["passcode"]))
    assert leaf(enroll(site, ordinary(name, key), made["user"], made["passcode"])) == first
    another = ordinary(name, device.new_key("ec-p256"))
    refused(enroll(site, another, made["user"], made["passcode"]), 403, "has been used")
    assert len(site.issued(name=name)) == 1
    registration = register(site, Identity(key, (first,)))
    assert registration.status == "assigned", registration
    assert made["passcode"] not in (site.sandbox.state / "logs" / "host.log").read_text()


def test_a_later_passcode_ends_an_earlier_one(factory: Factory, site: Site) -> None:
    name = "once-3"
    factory.manifest([{"device_id": name}])
    first, second = (read(factory.passcode(name))["passcode"] for _ in range(2))
    refused(enroll(site, ordinary(name, device.new_key("ec-p256")), name, first), 401)
    leaf(enroll(site, ordinary(name, device.new_key("ec-p256")), name, second))


def test_where_no_such_passcodes_are_taken_none_are_made(factory: Factory) -> None:
    assert problem(factory.passcode("once-4", label="est"))[:2] == (409, "Conflict")


def test_a_manifest_lets_in_whom_it_names_with_what_it_names(factory: Factory, site: Site) -> None:
    expected, other, stranger = (site.newborn(f"announced-{number}", LABEL) for number in range(3))
    refused(expected.ask(), 403, "manifest")
    thumbprint = expected.factory.leaf.fingerprint(hashes.SHA256()).hex()
    answer = factory.manifest(
        [
            {"device_id": "announced-0", "factory_thumbprint": thumbprint},
            {"device_id": "announced-1", "factory_thumbprint": thumbprint},
            {"device_id": "announced 2"},
        ]
    )
    assert answer["outcomes"] == {"expected": 2, "already_expected": 0, "refused": 1}
    expected.has(expected.ask())
    refused(other.ask(), 403, "another factory certificate")
    refused(stranger.ask(), 403, "manifest")
    assert factory.manifest([{"device_id": "announced-1"}])["outcomes"]["expected"] == 1
    other.has(other.ask())
