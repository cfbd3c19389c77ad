"""A sandbox in which nobody has set up DPS, and the command that does."""

from collections.abc import Iterator

import pytest

from tests.conftest import Running
from tests.setup.commanding import Command


@pytest.fixture
def bare(sandbox: Running) -> Iterator[Command]:
    """DPS has no hub, no CA and no group; afterwards it has them again, for the tests of others."""
    command = Command(sandbox)
    command.undeploy()
    yield command
    command.deploy()


@pytest.fixture
def deployed(sandbox: Running) -> Command:
    return Command(sandbox)
