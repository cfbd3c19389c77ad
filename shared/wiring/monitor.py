"""Telemetry leaves the process where the settings name an Application Insights; else its SDK is not even imported."""

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

from shared import telemetry
from shared.adapters import azure_monitor
from shared.settings import Monitoring

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential


def join(environment: MutableMapping[str, str]) -> None:
    """Before all other settings are read, so that an operator sees what is wrong with them. Never raises.

    An app that cannot be watched still serves its devices.
    """
    telemetry.setup()
    monitoring = Monitoring.from_environment(environment)
    if not monitoring.connection_string:
        return
    # The distribution's own choice asks a virtual machine's metadata service, which is not there and does not answer.
    environment.setdefault("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "azure_functions")
    try:
        azure_monitor.export(monitoring.connection_string, _credential(monitoring))
    except Exception as error:  # noqa: BLE001 - whatever it is, devices need their certificates
        telemetry.event("monitor", {"cause": f"APPLICATIONINSIGHTS_CONNECTION_STRING: {error!r}"}, logging.ERROR)


def _credential(monitoring: Monitoring) -> "TokenCredential | None":
    if not monitoring.by_identity:
        return None
    from azure.identity import ManagedIdentityCredential

    return ManagedIdentityCredential(client_id=monitoring.client_id or None)
