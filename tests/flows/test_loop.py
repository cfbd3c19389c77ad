"""A fixture of somebody else that is still open would bring its own loop, on which a second is a second."""

import asyncio

from tests.fakes.clock import IdleLoop


async def test_stories_run_on_a_loop_that_loses_no_time() -> None:
    assert isinstance(asyncio.get_running_loop(), IdleLoop)
