"""Azure Monitor takes what OpenTelemetry records: through Microsoft's distribution, which is imported here alone.

https://learn.microsoft.com/azure/azure-monitor/app/opentelemetry-configuration?tabs=python
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

# Spans of outside calls are opened where the calls are made (transport.py, crl.py, iot_hub.py), and by azure-core's own
# tracing, which needs no plug-in. These libraries would open a second one, and send our trace ids to DigiCert ONE.
_NOT_INSTRUMENTED: Final = (
    "azure_sdk",
    "django",
    "fastapi",
    "flask",
    "httpx",
    "httpx2",
    "psycopg2",
    "requests",
    "urllib",
    "urllib3",
)


def export(connection_string: str, credential: "TokenCredential | None") -> None:
    """Send logs, spans and metrics from now on, from threads beside the event loop. Raises ValueError.

    `credential` is None where the connection string is enough. Spans are sampled as OTEL_TRACES_SAMPLER says, five a
    second by default; events and metrics are always whole. Live metrics and performance counters are the host's.
    """
    from azure.core.settings import settings
    from azure.monitor.opentelemetry import configure_azure_monitor

    configure_azure_monitor(
        connection_string=connection_string,
        credential=credential,
        enable_live_metrics=False,
        enable_performance_counters=False,
        instrumentation_options={name: {"enabled": False} for name in _NOT_INSTRUMENTED},
    )
    settings.tracing_enabled = True
