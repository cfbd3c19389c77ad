"""Stories run on a loop whose time passes only while nobody has work to do."""

import asyncio
from typing import Any

import pytest

from tests.fakes.clock import IdleLoop
from tests.fakes.world import Fakes, fakes


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": IdleLoop}


@pytest.fixture(autouse=True)
async def no_time_is_lost() -> None:
    """A fixture of somebody else that is still open would bring its own loop, on which a second is a second."""
    assert isinstance(asyncio.get_running_loop(), IdleLoop)


@pytest.fixture
def world() -> Fakes:
    return fakes()
