"""The seam to Microsoft's Python runtime: the only module that touches `azure_functions_runtime`.

`native_invocation` is new in 1.3.0 and not part of `__all__`; the version is pinned in requirements.in, and whatever
changes there has to be answered here alone.
"""

import json
import logging
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from azure_functions_runtime import handle_event, start_threadpool_executor
from azure_functions_runtime.bindings import meta
from azure_functions_runtime.bindings.datumdef import Datum
from azure_functions_runtime.loader import index_function_app, process_indexed_function
from azure_functions_runtime.native_invocation import invocation_request_native

__all__ = ["Datum", "Function", "IndexingError", "Outcome", "Retry", "call", "load", "text"]

Binding = dict[str, Any]


class IndexingError(Exception):
    """The app cannot be indexed; the text names the function wherever one is to blame."""


@dataclass(frozen=True)
class Retry:
    """`@app.retry(...)`; Functions honours it for timers (queues have their own counting, HTTP has none)."""

    strategy: str
    count: int  # -1 is for ever
    shortest: timedelta
    longest: timedelta


@dataclass(frozen=True)
class Function:
    name: str
    function_id: str
    trigger: Binding
    outputs: dict[str, Binding]
    retry: Retry | None = None


@dataclass(frozen=True)
class Outcome:
    """What one invocation gave back: a value for `$return`, one datum per output binding, or an error."""

    ok: bool
    value: Any = None
    outputs: tuple[tuple[str, Any], ...] = ()
    error: str = ""


class _BindingInfo(SimpleNamespace):
    """The three numbers of FunctionRpc.proto's `BindingInfo.Direction` that the runtime compares with."""

    inout, out, undefined = 2, 1, 0


def load(app: Path) -> list[Function]:
    """Every function of the app. Modules stay imported and the registry is global: one app per process."""
    script = os.environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")
    if not (app / script).is_file():
        raise IndexingError(f"{app} holds no {script}")
    sys.path.insert(0, str(app))
    handle_event.protos = SimpleNamespace(
        BindingInfo=_BindingInfo, RpcFunctionMetadata=SimpleNamespace, RpcRetryOptions=SimpleNamespace
    )
    meta.load_binding_registry()
    start_threadpool_executor()
    _quiet_system_log()
    return [_indexed(function, app) for function in index_function_app(str(app / script))]


def _indexed(function: Any, app: Path) -> Function:  # noqa: ANN401 - azure.functions.decorators carries no types
    """One by one, so that an error names its function; in Azure the first error leaves the app with none."""
    name = function.get_function_name()
    try:
        (record,), _ = process_indexed_function(handle_event.protos, handle_event._functions, [function], str(app))  # noqa: SLF001
    except Exception as error:
        raise IndexingError(f"cannot index the function {name}: {error!r}") from error
    bindings = [json.loads(raw) for raw in record.raw_bindings]
    triggers = [binding for binding in bindings if binding["type"].lower().endswith("trigger")]
    inputs = [b for b in bindings if b["direction"] == "IN" and b not in triggers]
    if len(triggers) != 1 or inputs:
        found = [binding["type"] for binding in triggers + inputs]
        raise IndexingError(f"the function {name} needs exactly one input, its trigger; it has {found}")
    outputs = {binding["name"]: binding for binding in bindings if binding["direction"] == "OUT"}
    return Function(name, record.function_id, triggers[0], outputs, _retry(record.retry_options))


def _retry(options: Any) -> Retry | None:  # noqa: ANN401 - the SimpleNamespace of `protos` above
    if options is None:
        return None
    fixed = getattr(options, "delay_interval", None)
    shortest = fixed if fixed is not None else options.minimum_interval
    longest = fixed if fixed is not None else options.maximum_interval
    return Retry(options.retry_strategy, options.max_retry_count, shortest, longest)


async def call(
    function: Function,
    invocation_id: str,
    trigger: Any,  # noqa: ANN401 - a Datum, which carries no types
    metadata: dict[str, Any],
    *,
    trace_parent: str = "",
    retries: tuple[int, int] = (0, 0),
) -> Outcome:
    """Invoke once. A failed call is an outcome, not an exception; cancellation passes through."""
    ok, value, outputs, error, trace = await invocation_request_native(
        invocation_id,
        function.function_id,
        [(function.trigger["name"], trigger)],
        metadata,
        trace_parent=trace_parent,
        retry_count=retries[0],
        max_retry_count=retries[1],
    )
    return Outcome(ok, value, tuple(outputs), "" if ok else (trace or error))


def text(value: str) -> Any:  # noqa: ANN401 - a Datum, which carries no types
    return Datum(value, "string")


def _quiet_system_log() -> None:
    """Logs under `azure.functions` are the platform's own and not shown to the app's owner (worker: SDK_LOG_PREFIX).

    They also hold each traceback a second time: the host reports the one that comes back with the outcome.
    """
    system = logging.getLogger("azure.functions")
    system.propagate = False
    system.addHandler(logging.NullHandler())
