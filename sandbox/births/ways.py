"""All ways of birth past Birthcert, for whoever tries them one after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.births import acme, cmp, scep
from sandbox.device import Identity


@dataclass(frozen=True)
class Way:
    """`missing` says what has to be installed, or nothing. `enroll` takes the sandbox's folder and a device id."""

    name: str
    missing: Callable[[], str]
    enroll: Callable[[Path, str], Identity]


WAYS: Final = (
    Way("SCEP", scep.missing, scep.enroll),
    Way("ACME", acme.missing, acme.enroll),
    Way("CMPv2", cmp.missing, cmp.enroll),
)
