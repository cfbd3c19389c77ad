"""The enrollment group: it comes to trust the CAs that issue now and to ask the webhook, and keeps all else."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import assume, given
from hypothesis import strategies as st

from infra.setup import decide_group
from infra.setup.refused import Refused
from shared.core.issuer import thumbprint
from shared.flows.ports.dps import Group
from tests.setup.making import DPS, HUB, ICA, NEXT, OTHER, WEBHOOK, stored, wants

PEMS = {name: one.public_bytes(Encoding.PEM).decode() for name, one in (("ica", ICA), ("next", NEXT), ("other", OTHER))}

slot = st.one_of(st.none(), st.sampled_from(list(PEMS.values())).map(lambda pem: {"certificate": pem}))
definitions = st.sampled_from(
    [
        None,
        {"webhookUrl": WEBHOOK.url, "apiVersion": "2019-03-31"},
        {"webhookUrl": f"{WEBHOOK.address}?****", "apiVersion": "2021-10-01"},
        {"webhookUrl": f"{WEBHOOK.address}?code=old", "apiVersion": "2021-10-01"},
        {"webhookUrl": "https://elsewhere.example/api/allocation?code=x", "apiVersion": "2021-10-01"},
    ]
)


@st.composite
def groups(draw: st.DrawFn) -> Group:
    """Any group that DPS may hold under our name, and that attests by X.509."""
    primary, secondary = draw(slot), draw(slot)
    if primary is None and secondary is None:
        primary = {"certificate": PEMS["other"]}
    held = {name: one for name, one in (("primary", primary), ("secondary", secondary)) if one}
    document: dict[str, Any] = {
        "enrollmentGroupId": "birthcert",
        "attestation": {"type": "x509", "x509": {"signingCertificates": held}},
        "provisioningStatus": draw(st.sampled_from(["enabled", "disabled"])),
        "allocationPolicy": draw(st.sampled_from(["hashed", "static", "custom"])),
        "customAllocationDefinition": draw(definitions),
        "iotHubs": draw(st.sampled_from([None, [], [HUB.upper()], ["hub-z.azure-devices.net"]])),
        "initialTwin": {"tags": {"site": "north"}},
    }
    return stored(document)


def full(found: Group) -> bool:
    """There is no slot for our CA."""
    return bool(found.slots.primary and found.slots.secondary) and thumbprint(ICA) not in found.slots.held


@given(found=st.one_of(st.none(), groups()))
def test_after_its_group_is_written_there_is_nothing_to_write(found: Group | None) -> None:
    if found is not None and full(found):
        with pytest.raises(Refused, match="two slots"):
            decide_group.group(found, wants(ICA), WEBHOOK, DPS)
        return
    change = decide_group.group(found, wants(ICA), WEBHOOK, DPS)
    after = found if change is None else stored(change.body)
    assert after is not None
    assert decide_group.group(after, wants(ICA), WEBHOOK, DPS) is None
    assert thumbprint(ICA) in after.slots.held
    assert after.document["allocationPolicy"] == "custom"


@given(found=groups())
def test_what_others_have_put_into_the_group_stays(found: Group) -> None:
    assume(not full(found))
    change = decide_group.group(found, wants(ICA), WEBHOOK, DPS)
    assume(change is not None)
    assert change is not None
    after = stored(change.body)
    assert set(found.slots.held) <= set(after.slots.held), "which CA leaves is for trust reconcile to decide"
    for kept in ("initialTwin", "provisioningStatus"):
        assert after.document[kept] == found.document[kept]
    before: Any = found.document["iotHubs"] or []
    listed: Any = after.document["iotHubs"] or []
    assert set(before) <= set(listed)


def test_a_new_group_has_the_issuing_ca_and_the_webhook_with_its_key() -> None:
    change = decide_group.group(None, wants(ICA), WEBHOOK, DPS)
    assert change is not None
    assert change.changes[0] == "create it"
    assert change.body["customAllocationDefinition"] == {
        "webhookUrl": "https://app.azurewebsites.net/api/allocation?code=the%2Fkey%3D%3D",
        "apiVersion": "2021-10-01",
    }
    assert "etag" not in change.body
    assert WEBHOOK.key not in repr(change)
    assert WEBHOOK.key not in repr(WEBHOOK)


def test_a_ca_that_rolled_becomes_the_secondary_beside_the_old_one() -> None:
    change = decide_group.group(None, wants(ICA), WEBHOOK, DPS)
    assert change is not None
    rolled = decide_group.group(stored(change.body), wants(NEXT), WEBHOOK, DPS)
    assert rolled is not None
    assert [one.partition(" ")[0] for one in rolled.changes] == ["secondary"]
    assert stored(rolled.body).slots.held == (thumbprint(ICA), thumbprint(NEXT))


def test_a_new_key_is_written_and_a_masked_one_is_left_alone() -> None:
    change = decide_group.group(None, wants(ICA), WEBHOOK, DPS)
    assert change is not None
    definition = {"webhookUrl": f"{WEBHOOK.address}?code=old", "apiVersion": "2021-10-01"}
    old = stored({**change.body, "customAllocationDefinition": definition})
    renewed = decide_group.group(old, wants(ICA), WEBHOOK, DPS)
    assert renewed is not None
    assert renewed.changes == ("the key of the webhook",)
    masked = stored(
        {**change.body, "customAllocationDefinition": definition | {"webhookUrl": f"{WEBHOOK.address}?****"}}
    )
    assert decide_group.group(masked, wants(ICA), WEBHOOK, DPS) is None
    other = decide_group.group(masked, wants(NEXT), WEBHOOK, DPS)
    assert other is not None
    assert "****" not in str(other.body), "a masked key must not be written back"


def test_a_group_that_names_the_root_trusts_every_issuing_ca() -> None:
    document = {
        "enrollmentGroupId": "birthcert",
        "attestation": {"type": "x509", "x509": {"caReferences": {"primary": "root"}}},
        "allocationPolicy": "custom",
        "customAllocationDefinition": {"webhookUrl": WEBHOOK.url, "apiVersion": "2021-10-01"},
    }
    assert decide_group.group(stored(document), wants(ICA, NEXT, OTHER), WEBHOOK, DPS) is None
    asks_nobody = stored({**document, "allocationPolicy": "hashed"})
    change = decide_group.group(asks_nobody, wants(ICA), WEBHOOK, DPS)
    assert change is not None
    assert change.body["attestation"] == document["attestation"]


def test_a_group_that_cannot_be_ours_is_refused_with_its_remedy() -> None:
    keys = stored({"enrollmentGroupId": "birthcert", "attestation": {"type": "symmetricKey"}})
    with pytest.raises(Refused, match="does not attest by") as refused:
        decide_group.group(keys, wants(ICA), WEBHOOK, DPS)
    assert "[dps]" in refused.value.remedy
    with pytest.raises(Refused, match="has two slots") as refused:
        decide_group.group(None, wants(ICA, NEXT, OTHER), WEBHOOK, DPS)
    assert "a group of its own" in refused.value.remedy
    assert f"--dps-name {DPS} --enrollment-id birthcert " in refused.value.remedy
