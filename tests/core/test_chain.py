"""The chain that devices are told to trust."""

import pytest
from cryptography import x509

from shared.core.chain import check_chain, issuing
from shared.core.errors import UpstreamRefused
from tests.core import asn1
from tests.core.making import Authority

ROOT = Authority("Root", number=110)
MIDDLE = Authority("Middle", number=111, parent=ROOT)
BOTTOM = Authority("Bottom", number=112, parent=MIDDLE)
CHAIN = [ROOT.certificate, MIDDLE.certificate, BOTTOM.certificate]


def test_the_root_comes_last_and_repeats_are_left_out() -> None:
    checked = check_chain([*CHAIN, *CHAIN])
    assert len(checked) == 3
    assert checked[-1] == ROOT.certificate
    assert set(checked) == set(CHAIN)


def test_whoever_may_have_issued_is_below_the_root() -> None:
    assert set(issuing(check_chain(CHAIN))) == {MIDDLE.certificate, BOTTOM.certificate}


def test_a_root_alone_issues_itself() -> None:
    assert issuing(check_chain([ROOT.certificate])) == (ROOT.certificate,)


def test_a_root_that_rolls_over_stays_in_the_chain() -> None:
    """RFC 4210 §4.4: OldWithNew has the names of a root and is signed by the new key."""
    new = Authority("Root", number=113)
    old_with_new = Authority("Root", number=110, parent=new)
    checked = check_chain([ROOT.certificate, new.certificate, old_with_new.certificate, MIDDLE.certificate])
    assert len(checked) == 4
    assert issuing(checked) == (MIDDLE.certificate,)


@pytest.mark.parametrize(
    ("certificates", "why"),
    [
        pytest.param([], "no root", id="nothing"),
        pytest.param([MIDDLE.certificate, BOTTOM.certificate], "no root", id="no root"),
        pytest.param([ROOT.certificate, BOTTOM.certificate], "incomplete", id="a gap"),
        pytest.param([*CHAIN, BOTTOM.issue()], "no CA", id="a leaf"),
        pytest.param(
            [*CHAIN, BOTTOM.issue(extensions=[x509.BasicConstraints(ca=False, path_length=None)])],
            "no CA",
            id="said to be no CA",
        ),
        pytest.param([Authority("Root", number=114).certificate, *CHAIN[1:]], "incomplete", id="a forged root"),
        pytest.param(
            [ROOT.certificate, ROOT.by_hand(asn1.dns_names("a"), asn1.dns_names("b"))], "cannot be read", id="odd"
        ),
        pytest.param(
            [ROOT.by_hand(name=asn1.common_name(b"\xe9", asn1.T61))], "cannot be read", id="an unreadable name"
        ),
    ],
)
def test_what_is_no_chain_of_cas_is_not_handed_on(certificates: list[x509.Certificate], why: str) -> None:
    with pytest.raises(UpstreamRefused, match=why):
        check_chain(certificates)
