"""An app that says that it is well and what time it is: the sandbox is tested with it, apart from the product."""

from datetime import UTC, datetime

import azure.functions as func

app = func.FunctionApp()


@app.route("healthz", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def healthz(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(f"{req.method}: well")


@app.route("readyz", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def readyz(req: func.HttpRequest) -> func.HttpResponse:
    del req
    return func.HttpResponse(datetime.now(UTC).isoformat())
