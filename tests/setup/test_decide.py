"""What setup writes into the DPS itself: links and roots, each once, and nobody else's are touched."""

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from infra.setup import decide
from infra.setup.decide import HeldCertificate, HeldLink, Identity, Link, Upload
from infra.setup.refused import Refused
from infra.setup.wanted import WantedLink
from shared.core.issuer import thumbprint
from tests.setup.making import ICA, ROOT

OWN = ROOT.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - what DPS shows
NAME = f"birthcert-root-{thumbprint(ROOT)[:8]}"

hosts = st.sampled_from(["a.azure-devices.net", "A.Azure-Devices.net", "b.azure-devices.net", "c.azure-devices.net"])
weights = st.one_of(st.none(), st.integers(1, 5))
held_links = st.lists(
    st.builds(HeldLink, hosts, weights, st.booleans()), max_size=4, unique_by=lambda one: one.host.lower()
)
wanted_links = st.lists(
    st.builds(WantedLink, st.just("hub"), hosts, st.one_of(st.none(), st.integers(0, 5))),
    max_size=4,
    unique_by=lambda one: one.host.lower(),
)
held_certificates = st.lists(
    st.builds(
        HeldCertificate,
        st.sampled_from([NAME, "root", "other"]),
        st.sampled_from([OWN, OWN.lower(), "00" * 20]),
        st.booleans(),
        st.just("tag"),
    ),
    max_size=3,
    unique_by=lambda one: one.name,
)


def linked(held: list[HeldLink], changes: tuple[Link, ...]) -> list[HeldLink]:
    """What DPS holds after the changes."""
    after = {one.host.lower(): one for one in held}
    for one in changes:
        after[one.host.lower()] = HeldLink(one.host, max(1, one.weight), one.weight > 0)
    return list(after.values())


@given(held=held_links, wanted=wanted_links)
def test_after_its_links_are_made_there_is_nothing_to_link(held: list[HeldLink], wanted: list[WantedLink]) -> None:
    after = linked(held, decide.links(held, wanted))
    assert decide.links(after, wanted) == ()
    assert {one.host.lower() for one in wanted} <= {one.host.lower() for one in after}


@given(held=held_links, wanted=wanted_links)
def test_a_link_of_somebody_else_stays_as_it_is(held: list[HeldLink], wanted: list[WantedLink]) -> None:
    ours = {one.host.lower() for one in wanted}
    after = linked(held, decide.links(held, wanted))
    for one in held:
        assert one in after or one.host.lower() in ours
    weightless = [WantedLink(one.name, one.host, None) for one in wanted]
    assert all(change.new for change in decide.links(held, weightless)), "a weight that nobody asks for stays, too"


def test_a_hub_of_weight_0_is_linked_and_takes_no_new_devices() -> None:
    wanted = [WantedLink("hub-a", "a.azure-devices.net", 0)]
    (change,) = decide.links([], wanted)
    assert (change.weight, change.new) == (0, True)
    assert decide.links([HeldLink("a.azure-devices.net", 1, applies=False)], wanted) == ()
    assert decide.links([HeldLink("a.azure-devices.net", 1, applies=True)], wanted) != ()


def test_new_links_are_by_the_identity_of_the_dps_and_never_by_a_key() -> None:
    assert decide.link_by(Identity(system=True, users=("/id",)), "dps", "group") == ("SystemAssigned", "")
    assert decide.link_by(Identity(system=False, users=("/id",)), "dps", "group") == ("UserAssigned", "/id")
    for users in ((), ("/one", "/two")):
        with pytest.raises(Refused) as refused:
            decide.link_by(Identity(system=False, users=users), "my-dps", "my-group")
        assert "az iot dps identity assign --name my-dps --resource-group my-group" in refused.value.remedy


@given(held=held_certificates)
def test_after_its_upload_the_root_is_there(held: list[HeldCertificate]) -> None:
    verified = any(one.verified and one.thumbprint.upper() == OWN for one in held)
    if not verified and any(one.name == NAME and one.thumbprint.upper() != OWN for one in held):
        with pytest.raises(Refused, match="under the name"):
            decide.upload(held, ROOT)
        return
    decided = decide.upload(held, ROOT)
    if isinstance(decided, Upload):
        after = [one for one in held if one.name != decided.name] + [HeldCertificate(decided.name, OWN, True, "new")]
        assert decide.upload(after, ROOT) == after[-1]
        assert {one.name for one in held} <= {one.name for one in after}
    else:
        assert decided in held
        assert decided.verified


def test_a_root_that_is_there_unverified_is_uploaded_again_over_itself() -> None:
    assert decide.upload([HeldCertificate(NAME, OWN, False, "tag")], ROOT) == Upload(NAME, "tag")
    assert decide.upload([HeldCertificate("by-hand", OWN, False, "tag")], ROOT) == Upload(NAME)


def test_what_stands_in_the_way_of_the_root_is_told_with_its_remedy() -> None:
    with pytest.raises(Refused, match="another CA certificate under the name") as refused:
        decide.upload([HeldCertificate(NAME, "00" * 20, True, "tag")], ROOT)
    assert "delete it" in refused.value.remedy
    full = [HeldCertificate(f"ca-{number}", "00" * 20, True, "tag") for number in range(25)]
    with pytest.raises(Refused, match="which is its limit") as refused:
        decide.upload(full, ICA)
    assert "az iot dps certificate delete" in refused.value.remedy
