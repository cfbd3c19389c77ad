"""App settings in bindings: `%NAME%` and identity-based connections.

learn.microsoft.com/azure/azure-functions/functions-bindings-expressions-patterns and functions-reference (connections).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sandbox.host.index import Binding, Function

_EXPRESSION = re.compile(r"%([^%]+)%")
_FIXED = {"name", "type", "direction"}


class SettingsError(ValueError):
    pass


def resolved(function: Function, settings: Mapping[str, str]) -> Function:
    """The function with every `%NAME%` of its bindings replaced by the app setting of that name."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in settings:
            raise SettingsError(f"the function {function.name} wants the app setting {match[1]}, which does not exist")
        return settings[match[1]]

    def binding(given: Binding) -> Binding:
        return {
            key: _EXPRESSION.sub(value, item) if isinstance(item, str) and key not in _FIXED else item
            for key, item in given.items()
        }

    outputs = {name: binding(output) for name, output in function.outputs.items()}
    return replace(function, trigger=binding(function.trigger), outputs=outputs)


@dataclass(frozen=True)
class QueueService:
    """Where a `connection` leads, and the user-assigned identity that opens it (None: the app's own)."""

    url: str
    client_id: str | None


def queue_service(connection: str, settings: Mapping[str, str]) -> QueueService:
    """Identity-based connections only: a connection string with a key has no place in an app of this project.

    Without an identity endpoint the SDK would ask the machine's own metadata service: the sandbox stays on loopback.
    """
    if not settings.get("IDENTITY_ENDPOINT"):
        raise SettingsError("queue bindings need IDENTITY_ENDPOINT and IDENTITY_HEADER, the sandbox's managed identity")
    names = [connection or "AzureWebJobsStorage"]
    names.append(f"AzureWebJobs{names[0]}")  # the real host looks there as well
    for name in names:
        url = settings.get(f"{name}__queueServiceUri", "")
        account = settings.get(f"{name}__accountName", "")
        if not url and account:
            url = f"https://{account}.queue.core.windows.net"
        if url:
            return QueueService(url, settings.get(f"{name}__clientId"))
    raise SettingsError(f"the connection {names[0]!r} needs the app setting {names[0]}__queueServiceUri")
