"""Whatever a trigger logs, operators can search for it: each event is listed, with its fields."""

import logging
from collections.abc import Iterator

import pytest

from shared import telemetry
from tests.monitor.listed import Listening


@pytest.fixture(autouse=True)
def every_event_is_listed() -> Iterator[None]:
    listening, level = Listening(), telemetry.LOGGER.level
    telemetry.LOGGER.addHandler(listening)
    telemetry.LOGGER.setLevel(logging.INFO)
    yield
    telemetry.LOGGER.removeHandler(listening)
    telemetry.LOGGER.setLevel(level)
    assert listening.wrong == [], "shared/telemetry/names.py does not list what was logged"
