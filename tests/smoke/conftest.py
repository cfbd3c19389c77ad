"""The command against the sandbox, and its checks one by one against fronts that spoil something."""

from pathlib import Path

import pytest

from tests.conftest import Running
from tests.smoke.commanding import Smoke


@pytest.fixture
def smoke(sandbox: Running, tmp_path: Path) -> Smoke:
    return Smoke(sandbox, tmp_path)
