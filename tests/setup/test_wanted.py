"""What the profiles want: links with weights, secrets by name and form, groups with the CAs that issue now."""

from dataclasses import replace
from datetime import timedelta

import pytest

from infra.setup import wanted
from infra.setup.refused import Refused
from infra.setup.wanted import WantedLink
from sandbox import credentials, pki
from shared.core.issuer import thumbprint
from shared.core.profile import (
    CaManagerChain,
    CertificateUpstream,
    GroupEnrollment,
    IndividualEnrollment,
    Profile,
    Profiles,
    RestUpstream,
)
from tests.fakes.profiles import HUB_HOSTS, PROFILE
from tests.setup.making import HIERARCHY, ICA, NEXT, NOW, ROOT

PEM = credentials.client_identity()[1]


def profiles(*by_label: Profile) -> Profiles:
    return Profiles(by_label[0].label, {one.label: one for one in by_label})


def test_labels_that_share_a_group_share_its_cas_and_hubs() -> None:
    one = replace(PROFILE, label="one", hubs=("hub-a",))
    two = replace(PROFILE, label="two", hubs=("hub-b", "hub-a"))
    alone = replace(PROFILE, label="alone", dps=GroupEnrollment("other"), hubs=("hub-b",))
    known = profiles(one, two, alone)
    chains = {"one": (ICA, ROOT), "two": (ICA, NEXT, ROOT), "alone": (ICA, ROOT)}
    shared, other = wanted.groups(known, chains, HUB_HOSTS, NOW + timedelta(minutes=1))
    assert (shared.name, set(shared.authorities)) == ("birthcert", {thumbprint(ICA), thumbprint(NEXT)})
    assert shared.hub_hosts == tuple(HUB_HOSTS[name] for name in ("hub-a", "hub-b"))
    assert (other.name, set(other.authorities)) == ("other", {thumbprint(ICA)})


def test_a_label_whose_devices_have_enrollments_of_their_own_needs_no_group() -> None:
    known = profiles(replace(PROFILE, dps=IndividualEnrollment()))
    assert wanted.groups(known, {"devices": (ICA, ROOT)}, HUB_HOSTS, NOW) == ()
    assert wanted.group_labels(known) == {}


def test_an_issuing_ca_that_has_ended_is_refused_with_its_remedy() -> None:
    with pytest.raises(Refused, match="no issuing CA of the profile devices is valid") as refused:
        wanted.groups(
            profiles(PROFILE), {"devices": (ICA, ROOT)}, HUB_HOSTS, ICA.not_valid_after_utc + timedelta(days=1)
        )
    assert "DigiCert ONE" in refused.value.remedy


def test_each_root_is_wanted_once() -> None:
    second = pki.issuing_hierarchy(NOW).root.certificate
    chains = {"one": (ICA, ROOT), "two": (NEXT, ROOT), "three": (ICA, ROOT, second)}
    assert wanted.roots(chains, ["one", "two"]) == (HIERARCHY.root.certificate,)
    assert wanted.roots(chains, ["one", "three"]) == (ROOT, second)


def test_only_a_default_profile_that_allocates_by_weight_has_a_say_in_the_weights() -> None:
    hashed = profiles(PROFILE)
    assert [one.weight for one in wanted.links(hashed, HUB_HOSTS)] == [None, None]
    weighted = profiles(replace(PROFILE, allocation="weighted", hub_weights=(3, 0)))
    assert wanted.links(weighted, HUB_HOSTS) == (
        WantedLink("hub-a", HUB_HOSTS["hub-a"], 3),
        WantedLink("hub-b", HUB_HOSTS["hub-b"], 0),
    )


def test_every_secret_that_a_profile_names_is_wanted_in_its_form() -> None:
    rest = replace(
        PROFILE,
        label="rest",
        upstream=RestUpstream("https://one.digicert.com", "IOT_1", client_certificate_secret="rest-client"),
        lookup=None,
        chain=CaManagerChain("https://one.digicert.com", ("1",), "ca-key"),
        authentication=replace(PROFILE.authentication, passcode=None),
    )
    certified = replace(PROFILE, label="mtls", upstream=CertificateUpstream("https://clientauth.x", "est-client"))
    assert wanted.secrets(profiles(PROFILE, rest, certified)) == {
        "digicert-est-passcode": "pair",
        "digicert-api-key": "key",
        "est-passcode": "pair",
        "rest-client": "certificate",
        "ca-key": "key",
        "est-client": "certificate",
    }


@pytest.mark.parametrize(
    ("form", "value", "good"),
    [
        ("pair", "user:passcode", True),
        ("pair", ":passcode\n", True),
        ("pair", "passcode-alone", False),
        ("pair", "user:pass\ncode", False),
        ("pair", " ", False),
        ("key", "0123-abc", True),
        ("key", "two words", False),
        ("certificate", PEM, True),
        ("certificate", "-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----", False),
    ],
)
def test_a_value_that_cannot_be_right_is_found_and_never_quoted(
    form: wanted.SecretForm, value: str, good: bool
) -> None:
    problem = wanted.value_problem(form, value)
    assert (problem == "") is good
    for word in ("canary", "alone", "words"):
        assert word not in problem.replace("is not one word", "")
