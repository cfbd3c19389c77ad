"""A world with one enrollment group, and what tests of rolling issuing CAs look at in it."""

from cryptography import x509

from shared.core.issuer import thumbprint
from shared.core.rotation import Slots
from shared.flows.trust import Chains
from tests.fakes.revocation import RevocationWorld

GROUP = "birthcert"


def a_world() -> RevocationWorld:
    """The group trusts the CA that issues."""
    made = RevocationWorld()
    made.groups.make(GROUP, Slots(newest(made)))
    return made


def newest(world: RevocationWorld) -> str:
    return thumbprint(world.ca.hierarchy.ica.certificate)


def slots(world: RevocationWorld) -> tuple[str, str]:
    found = world.groups.groups[GROUP].slots
    return found.primary, found.secondary


async def issue(world: RevocationWorld, days: float = 90) -> None:
    """As a birth does it: noted before it is recorded."""
    await world.issuers.note(world.certify("dev-1", days).certificate)


async def served(world: RevocationWorld) -> list[x509.Certificate]:
    """What `cacerts` gives in a new process."""
    return list(await Chains({"devices": world.chain}, world.clock).current("devices"))
