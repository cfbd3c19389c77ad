"""The app as its composition root makes it, for one enrollment: `python -m tests.monitor.one_enrollment`.

In: one JSON object with the base64 `certificate` that the device presents and its `body`. Out: the answer's status.
The settings are the environment. At the end all telemetry is on its way.
"""

import asyncio
import json
import logging
import sys

import azure.functions as func
from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider

from functions import est
from shared import wiring


async def main() -> int:
    logging.basicConfig(level=logging.INFO)
    asked = json.loads(sys.stdin.read())
    headers = {"X-ARR-ClientCert": asked["certificate"], "Content-Type": "application/pkcs10"}
    request = func.HttpRequest(
        method="POST",
        url="https://est.example/.well-known/est/simpleenroll",
        headers=headers,
        body=asked["body"].encode(),
    )
    app = wiring.application()
    status: int = (await est.answer(app, request, "0b0e3c42-7a39-4ab5-9d2a-6a9d6ef5a1c7")).status_code
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider()):
        provider.force_flush()  # type: ignore[union-attr] # the SDK's providers have it
    return status


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(main())}\n")
