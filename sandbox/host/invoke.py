"""One invocation of a function, whatever woke it: time limit, output bindings, and the report of a failure."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sandbox.host import index

log = logging.getLogger("sandbox.host")

Send = Callable[[index.Binding, Any], Awaitable[None]]


@dataclass(frozen=True)
class Invoker:
    """`limit` is host.json's functionTimeout; `send` delivers one output binding."""

    limit: float | None
    send: Send

    async def run(
        self,
        function: index.Function,
        trigger: Any,  # noqa: ANN401 - a Datum, which carries no types
        metadata: dict[str, Any] | None = None,
        *,
        trace_parent: str = "",
        retries: tuple[int, int] = (0, 0),
    ) -> index.Outcome:
        """Never raises for the app's own faults: they are in the outcome and, with their traceback, in the log."""
        invocation_id = str(uuid.uuid4())
        try:
            async with asyncio.timeout(self.limit):
                outcome = await index.call(
                    function, invocation_id, trigger, metadata or {}, trace_parent=trace_parent, retries=retries
                )
            for name, datum in outcome.outputs:
                await self.send(function.outputs[name], datum)
        except TimeoutError:
            # The real host reports the time-out and restarts the worker; one process has nothing to restart.
            outcome = index.Outcome(ok=False, error=f"Timeout value of {self.limit} s was exceeded")
        except Exception as error:  # noqa: BLE001 - an output binding that fails is a failed invocation
            outcome = index.Outcome(ok=False, error=f"an output binding failed: {error!r}")
        if not outcome.ok:
            log.error("Executed 'Functions.%s' (Failed, Id=%s)\n%s", function.name, invocation_id, outcome.error)
        return outcome
