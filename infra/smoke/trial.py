"""What the checks of a device's life share: where things are, who may do them, and how long to wait."""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass

from infra.smoke.arguments import Options
from infra.smoke.credentials import Credentials
from infra.smoke.device import Identity, Wanted
from infra.smoke.hub import Line
from infra.smoke.registering import Registered
from infra.smoke.site import Json, Ops, Site, eventually


@dataclass(frozen=True, slots=True)
class Trial:
    """One run with a test device."""

    site: Site
    ops: Ops
    options: Options
    credentials: Credentials

    @property
    def bootstrap(self) -> tuple[tuple[tuple[str, str], ...], str]:
        """Header and TLS identity of the device's first request."""
        if self.credentials.is_certificate:
            return (), self.credentials.bootstrap
        encoded = base64.b64encode(self.credentials.bootstrap.encode()).decode()
        return (("Authorization", f"Basic {encoded}"),), ""

    def until(self, name: str, look: Callable[[Json], bool]) -> tuple[Json | None, float]:
        """The device's record once it is as wanted, or None; and the seconds that it took. Raises Silent."""
        begin = time.monotonic()

        def found() -> Json | None:
            record = self.ops.device(name)
            return record if record is not None and look(record) else None

        record = eventually(found, self.options.wait)
        return record, time.monotonic() - begin


@dataclass(frozen=True, slots=True)
class Born:
    """The device with its first certificate; `body` is the request that led to it."""

    identity: Identity
    wanted: Wanted
    body: bytes


@dataclass(frozen=True, slots=True)
class Living:
    """How far the device has come: its newest certificate, where DPS has put it, and its connection."""

    born: Born
    newest: Identity
    registered: Registered | None
    line: Line | None = None
