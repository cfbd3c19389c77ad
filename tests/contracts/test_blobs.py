"""The files of batches: written whole or made of blocks, read at any place, told apart from what is not there."""

import asyncio
import secrets
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import IO

import pytest

from shared.core.errors import Conflict, NotFound, Unavailable
from shared.flows.ports.batches import Files
from tests.contracts.outside import Outside
from tests.fakes.batches import FakeFiles

pytestmark = pytest.mark.anyio

LARGE = 5 * 1024 * 1024  # more than the adapter reads in one go


@dataclass
class Subject:
    files: Files
    dead: Files


@pytest.fixture
def subject(real: Outside | None) -> Subject:
    if real is not None:
        return Subject(real.blobs, real.dead_blobs)
    dead = FakeFiles()
    dead.calls.fail("", lambda: Unavailable("no", retry_after=5), times=99)
    return Subject(FakeFiles(), dead)


@pytest.fixture
def files(subject: Subject) -> Files:
    return subject.files


@pytest.fixture
def name() -> str:
    return f"b-{secrets.token_hex(6)}/input.csv"


async def whole(files: Files, name: str) -> bytes:
    return await files.read(name, 0, 100)


async def test_what_is_written_is_read_at_any_place(files: Files, name: str) -> None:
    await files.write(name, b"0123456789")
    assert await files.read(name, 0, 10) == b"0123456789"
    assert await files.read(name, 3, 4) == b"3456"
    assert await files.read(name, 8, 100) == b"89"
    assert await files.read(name, 10, 5) == b""
    assert await files.read(name, 99, 5) == b""


async def test_what_is_written_again_takes_the_place_of_what_was_there(files: Files, name: str) -> None:
    await files.write(name, b"first and longer")
    await files.write(name, b"second")
    assert await whole(files, name) == b"second"


async def test_an_empty_file_is_a_file(files: Files, name: str) -> None:
    await files.write(name, b"")
    assert await files.read(name, 0, 10) == b""


async def test_what_is_not_there_is_not_found(files: Files, name: str) -> None:
    with pytest.raises(NotFound):
        await files.read(name, 0, 10)
    with pytest.raises(NotFound):
        async with files.opened(name):
            pass
    assert await files.blocks(name) == {}


async def test_blocks_that_come_in_any_order_make_a_file_in_theirs(files: Files, name: str) -> None:
    await asyncio.gather(*(files.stage(name, number, f"{number};".encode()) for number in (12, 2, 1)))
    assert await files.blocks(name) == {1: 2, 2: 2, 12: 3}
    with pytest.raises(Conflict):
        await files.commit(name, 3)
    await files.stage(name, 3, b"three;")
    await files.stage(name, 2, b"two;")
    await files.commit(name, 3)
    assert await whole(files, name) == b"1;two;three;"
    assert await files.blocks(name) == {1: 2, 2: 4, 3: 6}


async def test_before_its_blocks_are_committed_there_is_no_file(files: Files, name: str) -> None:
    await files.stage(name, 1, b"x")
    with pytest.raises(NotFound):
        await whole(files, name)


async def test_to_commit_again_changes_nothing(files: Files, name: str) -> None:
    """Whoever did not hear that it was done does it once more."""
    for number in (1, 2):
        await files.stage(name, number, b"x" * number)
    for _ in range(2):
        await files.commit(name, 2)
        assert await files.blocks(name) == {1: 1, 2: 2}
        assert await whole(files, name) == b"xxx"


async def test_a_block_that_comes_again_later_takes_the_place_of_the_one_that_is_part_of_the_file(
    files: Files, name: str
) -> None:
    for number in (1, 2):
        await files.stage(name, number, b"x" * number)
    await files.commit(name, 2)
    await files.stage(name, 2, b"yyyy")
    assert await files.blocks(name) == {1: 1, 2: 4}
    await files.commit(name, 2)
    assert await whole(files, name) == b"xyyyy"


async def test_a_large_block_is_a_block(files: Files, name: str) -> None:
    await files.stage(name, 1, b"x" * LARGE)
    await files.stage(name, 2, b"y")
    await files.commit(name, 2)
    assert await files.read(name, LARGE - 1, 5) == b"xy"


async def test_a_large_file_can_be_read_at_any_place_beside_the_loop(files: Files, name: str) -> None:
    content = secrets.token_bytes(1024) * (LARGE // 1024)
    await files.write(name, content)

    def look(file: IO[bytes]) -> None:
        assert file.read(LARGE + 1) == content
        assert file.seek(-5, 2) == LARGE - 5
        assert file.read(100) == content[-5:]
        assert file.seek(7) == file.tell() == 7
        assert file.read(3) == content[7:10]
        assert file.seek(4_000_000, 1) == 4_000_010
        assert file.read(1_000_000) == content[4_000_010:5_000_010]
        assert file.seek(LARGE + 5) == LARGE + 5
        assert file.read(1) == b""
        with pytest.raises((OSError, ValueError)):
            file.seek(-1)

    async with files.opened(name) as file:
        await asyncio.to_thread(look, file)


async def test_a_store_that_does_not_answer_is_unavailable(subject: Subject, name: str) -> None:
    dead = subject.dead
    calls = (
        dead.write(name, b"x"),
        dead.stage(name, 1, b"x"),
        dead.commit(name, 1),
        dead.blocks(name),
        dead.read(name, 0, 1),
        _entered(dead.opened(name)),
    )
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, Unavailable)


async def _entered(opened: AbstractAsyncContextManager[IO[bytes]]) -> None:
    async with opened:
        pass
