"""host.json as far as the sandbox plays it (learn.microsoft.com/azure/azure-functions/functions-host-json).

A key that nobody knows is an error: a typing mistake must not be found in Azure first.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ROOT = {
    "$schema", "aggregator", "applicationInsights", "concurrency", "customHandler", "extensionBundle", "extensions",
    "functionTimeout", "healthMonitor", "logging", "managedDependency", "metadataProviderTimeout", "retry",
    "sendCanceledInvocationsToWorker", "singleton", "telemetryMode", "version", "watchDirectories", "watchFiles",
}  # fmt: skip
_HTTP = {
    "customHeaders",
    "dynamicThrottlesEnabled",
    "hsts",
    "maxConcurrentRequests",
    "maxOutstandingRequests",
    "routePrefix",
}
_QUEUES = {
    "batchSize", "maxDequeueCount", "maxPollingInterval", "messageEncoding", "newBatchThreshold", "visibilityTimeout",
}  # fmt: skip
_EVENT_HUBS = {
    "batchCheckpointFrequency", "clientRetryOptions", "initialOffsetOptions", "loadBalancingUpdateInterval",
    "maxEventBatchSize", "maxWaitTime", "minEventBatchSize", "partitionOwnershipExpirationInterval", "prefetchCount",
    "targetUnprocessedEventThreshold", "trackLastEnqueuedEventProperties", "transportType", "webProxy",
}  # fmt: skip
_OVERRIDES = "AzureFunctionsJobHost__"
_TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,7}))?)?")


class HostJsonError(ValueError):
    pass


@dataclass(frozen=True)
class Queues:
    """`extensions.queues`; the defaults of functions-bindings-storage-queue."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    visibility_timeout: float = 0
    max_polling_interval: float = 60
    base64: bool = True


@dataclass(frozen=True)
class HostJson:
    route_prefix: str = "api"
    custom_headers: dict[str, str] = field(default_factory=dict)
    function_timeout: float | None = 1800  # 30 minutes; None is unbounded ("-1")
    queues: Queues = field(default_factory=Queues)
    event_hub_batch: int = 100


def load(app: Path, settings: Mapping[str, str]) -> HostJson:
    path = app / "host.json"
    try:
        root = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise HostJsonError(f"{path}: {error}") from error
    return parse(overridden(root, settings))


def overridden(root: dict[str, Any], settings: Mapping[str, str]) -> dict[str, Any]:
    """App settings go before the file: `AzureFunctionsJobHost__extensions__queues__maxPollingInterval`, say."""
    for name, value in settings.items():
        if name.startswith(_OVERRIDES):
            *path, last = name.removeprefix(_OVERRIDES).split("__")
            section = root
            for one in path:
                section = section.setdefault(one, {})
            section[last] = value
    return root


def parse(root: dict[str, Any]) -> HostJson:
    _known(root, _ROOT, "")
    if root.get("version") != "2.0":
        raise HostJsonError('host.json: "version" must be "2.0"')
    extensions = root.get("extensions", {})
    http = _known(extensions.get("http", {}), _HTTP, "extensions.http.")
    event_hubs = _known(extensions.get("eventHubs", {}), _EVENT_HUBS, "extensions.eventHubs.")
    limit = root.get("functionTimeout", "00:30:00")
    return HostJson(
        route_prefix=str(http.get("routePrefix", "api")).strip("/"),
        custom_headers=dict(http.get("customHeaders", {})),
        function_timeout=None if str(limit) == "-1" else seconds(limit),
        queues=_queues(_known(extensions.get("queues", {}), _QUEUES, "extensions.queues.")),
        event_hub_batch=int(event_hubs.get("maxEventBatchSize", 100)),
    )


def _queues(section: dict[str, Any]) -> Queues:
    size = section.get("batchSize", 16)
    if not 1 <= size <= 32:
        raise HostJsonError("host.json: extensions.queues.batchSize must be 1 to 32")
    encoding = section.get("messageEncoding", "base64")
    if encoding not in {"base64", "none"}:
        raise HostJsonError('host.json: extensions.queues.messageEncoding must be "base64" or "none"')
    return Queues(
        batch_size=size,
        new_batch_threshold=section.get("newBatchThreshold", size // 2),
        max_dequeue_count=section.get("maxDequeueCount", 5),
        visibility_timeout=seconds(section.get("visibilityTimeout", "00:00:00")),
        max_polling_interval=seconds(section.get("maxPollingInterval", "00:01:00")),
        base64=encoding == "base64",
    )


def _known(section: dict[str, Any], names: set[str], where: str) -> dict[str, Any]:
    unknown = sorted(section.keys() - names)
    if unknown:
        raise HostJsonError(f"host.json: unknown {', '.join(where + name for name in unknown)}")
    return section


def seconds(span: object) -> float:
    """A .NET TimeSpan, `[days.]hours:minutes[:seconds[.fraction]]`."""
    match = _TIME_SPAN.fullmatch(span) if isinstance(span, str) else None
    if match is None:
        raise HostJsonError(f"{span!r} is no time span such as 00:05:00")
    days, hours, minutes, secs, fraction = match.groups(default="0")
    if int(hours) > 23 or int(minutes) > 59 or int(secs) > 59:
        raise HostJsonError(f"{span!r} is no time span: hours end at 23, minutes and seconds at 59")
    return int(days) * 86400 + int(hours) * 3600 + int(minutes) * 60 + int(secs) + float(f"0.{fraction}")
