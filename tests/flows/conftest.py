"""Stories run on a loop whose time passes only while nobody has work to do."""

from typing import Any

import pytest

from tests.fakes.clock import IdleLoop
from tests.fakes.world import Fakes, fakes


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": IdleLoop}


@pytest.fixture
def world() -> Fakes:
    return fakes()
