"""Tests that start a sandbox of their own, and those that share the one of the whole session, want the same ports."""

import pytest

from sandbox import ports, probes


@pytest.hookimpl(trylast=True)  # after the shuffle
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those with a sandbox of their own come first: the shared one, once started, stays until the end."""
    items.sort(key=lambda item: "own_ports" not in getattr(item, "fixturenames", ()))


@pytest.fixture
def own_ports() -> None:
    """The fixed ports are free."""
    if in_use := [port for port in ports.ALL.values() if probes.taken(port)]:
        pytest.skip(f"a sandbox is running on this machine: ports {in_use} are in use")
