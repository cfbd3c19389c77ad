"""What the end-to-end tests share: the world outside, those who look after it, and a device for hostile requests."""

from collections.abc import Iterator

import pytest

from sandbox.device import Identity
from tests.conftest import Running
from tests.e2e import csr
from tests.e2e.est import Site
from tests.e2e.operators import Operator
from tests.e2e.portal import Portal


@pytest.fixture(scope="session")
def outside(sandbox_process: Running) -> Site:
    return Site(sandbox_process)


@pytest.fixture
def site(sandbox: Running, outside: Site) -> Site:
    """No fault is planned at the beginning of the test, nor after it."""
    assert outside.sandbox is sandbox
    return outside


@pytest.fixture(scope="session")
def hostile(outside: Site) -> Identity:
    """Good credentials: whatever is refused to it is refused for the request's own sake."""
    return outside.identity(csr.NAME)


@pytest.fixture
def operator(site: Site) -> Operator:
    return Operator(site)


@pytest.fixture
def portal(site: Site) -> Portal:
    return Portal(site)


@pytest.fixture
def no_poison(portal: Portal) -> Iterator[None]:
    """What the test finds in a poison queue is its own, and it leaves nothing there."""
    queues = ("hub-events-poison", "nudge-poison")
    for queue in queues:
        portal.clear(queue)
    yield
    for queue in queues:
        portal.clear(queue)
