"""An app that shows what the host gives to functions: each one tells what it got."""

import asyncio
import json
import logging
import time
import typing
from datetime import UTC, datetime

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

seen: list[object] = []


@app.route("echo/{*rest}")
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    told = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "params": dict(req.params),
        "route": dict(req.route_params),
        "body": req.get_body().decode("latin-1"),
    }
    return func.HttpResponse(json.dumps(told), mimetype="application/json", headers={"X-MiXed": "Case"})


@app.route(".well-known/est/{label}/simpleenroll", methods=["POST"])
def enroll(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(req.get_body(), status_code=202, headers={"Retry-After": "7"}, mimetype="a/b; c=d")


@app.route("secured", auth_level=func.AuthLevel.FUNCTION)
async def secured(req: func.HttpRequest) -> str:
    return f"open to {req.method}"


@app.route("only-admin", auth_level=func.AuthLevel.ADMIN)
async def only_admin(req: func.HttpRequest) -> str:  # noqa: ARG001 - the binding names it
    return "admin"


@app.route("empty")
async def empty(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    return func.HttpResponse(status_code=204)


@app.route("cookies")
async def cookies(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    answer = func.HttpResponse("yes")
    answer.headers.add("Set-Cookie", "a=1; Path=/")
    answer.headers.add("Set-Cookie", "b=2; Secure")
    return answer


@app.route("fails")
async def fails(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    raise RuntimeError("the reason why")


@app.route("smuggles")
async def smuggles(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("x", headers={"X-Told": req.params["told"]})


@app.route("hangs")
async def hangs(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    await asyncio.sleep(3600)
    return func.HttpResponse("never")


@app.route("clock")
async def clock(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    now = datetime.now(UTC)
    return func.HttpResponse(json.dumps({"datetime": now.isoformat(), "time": time.time()}))


@app.route("logs")
async def logs(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    logging.info("a line of the app")  # noqa: LOG015
    print("a printed line")  # noqa: T201
    return func.HttpResponse("logged")


@app.route("seen")
async def tell(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    return func.HttpResponse(json.dumps(seen))


@app.route("send", methods=["POST"])
@app.queue_output(arg_name="out", queue_name="%QUEUE_NAME%", connection="STORAGE")
async def send(req: func.HttpRequest, out: func.Out[str]) -> func.HttpResponse:
    out.set(req.get_body().decode())
    return func.HttpResponse(status_code=202)


@app.queue_trigger(arg_name="msg", queue_name="%QUEUE_NAME%", connection="STORAGE")
async def work(msg: func.QueueMessage) -> None:
    body = msg.get_body().decode()
    inserted = msg.insertion_time.isoformat() if msg.insertion_time else None
    seen.append({"queue": body, "dequeue_count": msg.dequeue_count, "id": msg.id, "inserted": inserted})
    if "fail" in body:
        raise ValueError(body)


@app.event_grid_trigger(arg_name="event")
async def hub_event(event: func.EventGridEvent) -> None:
    seen.append({"event": event.id, "type": event.event_type, "data": event.get_json()})
    if event.subject == "fail":
        raise ValueError(event.id)


@app.event_grid_trigger(arg_name="event")
async def cloud_event(event: func.CloudEvent) -> None:
    seen.append({"cloud_event": event.id, "source": event.source})


@app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%", run_on_startup=False)
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:00")
async def tick(timer: func.TimerRequest, context: func.Context) -> None:
    retry = context.retry_context.retry_count
    seen.append({"timer": timer.past_due, "retry": retry})
    if retry < 1:
        raise ValueError("fails at first")


@app.event_hub_message_trigger(
    arg_name="events", event_hub_name="%LOGS_NAME%", connection="LOGS", cardinality=func.Cardinality.MANY
)
@app.retry(strategy="fixed_delay", max_retry_count="1", delay_interval="00:00:00")
async def hub_batch(events: typing.List[func.EventHubEvent], context: func.Context) -> None:  # noqa: UP006 - Azure takes no `list[…]`
    bodies = [event.get_body().decode() for event in events]
    seen.append({"batch": bodies, "numbers": [event.sequence_number for event in events]})
    if "fail" in bodies or ("once" in bodies and context.retry_context.retry_count == 0):
        raise ValueError(bodies)


@app.event_hub_message_trigger(
    arg_name="event", event_hub_name="singles", connection="LOGS", cardinality=func.Cardinality.ONE
)
async def hub_single(event: func.EventHubEvent) -> None:
    seen.append({"single": event.get_body().decode(), "number": event.sequence_number})
