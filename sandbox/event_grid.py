"""Stand-in for Event Grid: delivers the events of IoT Hub and Key Vault to the app, and takes what the app publishes.

Delivery: https://learn.microsoft.com/azure/event-grid/delivery-and-retry - at least once and in no order.
The validation handshake of a new subscription is not played: subscriptions exist from the start.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

from sandbox.entra import EVENT_GRID_AUDIENCE
from sandbox.web import application, fault_kind
from sandbox.world import World

SERVICE: Final = "Event Grid"
Event = dict[str, Any]

# The real schedule is 10 s, 30 s, 1 m, 5 m, 10 m, 30 m, 1 h ... for a day and 30 attempts; a laptop has less patience.
BACK_OFF: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
ATTEMPTS: Final = 30
ANSWER_WITHIN: Final = 30.0
# "Error codes for which retry isn't attempted", for endpoints of the kind Azure Functions.
NOT_RETRIED: Final = {400, 403, 413}
# How long reordered delivery waits for more events to turn around.
GATHER: Final = 0.3

# https://learn.microsoft.com/azure/event-grid/event-schema and cloudevents.io, 1.0
EXTENSION: Final = re.compile("[a-z0-9]{1,20}")
SCHEMAS: Final[dict[str, tuple[set[str], set[str]]]] = {
    "application/json": (
        {"id", "subject", "eventType", "eventTime", "data", "dataVersion"},
        {"topic", "metadataVersion"},
    ),
    "application/cloudevents-batch+json": ({"id", "source", "type", "specversion"}, set()),
}


@dataclass(frozen=True)
class Subscription:
    """Events of these types go to the function of that name; what nobody subscribes to is dropped."""

    function: str
    event_types: frozenset[str]


@dataclass(frozen=True)
class Target:
    """The webhook of the Functions host, and the key of its Event Grid extension."""

    url: str
    key: str = field(repr=False)
    trust: ssl.SSLContext


@dataclass
class EventGridState:
    """`raise_event` may be called before the deliverer runs; the events then wait in `queue`."""

    world: World
    target: Target
    subscriptions: Sequence[Subscription]
    back_off: tuple[float, ...] = BACK_OFF
    duplicates: int = 0
    reorder: bool = False
    published: list[Event] = field(default_factory=list)
    dead_letters: list[Event] = field(default_factory=list)
    queue: asyncio.Queue[tuple[Event, str]] = field(default_factory=asyncio.Queue)

    def raise_event(self, event: Event) -> None:
        """Hand over an event of a system topic (Event Grid schema)."""
        functions = [each.function for each in self.subscriptions if event["eventType"] in each.event_types]
        self.world.journal.write(
            SERVICE, "event raised", type=event["eventType"], subject=event["subject"], id=event["id"], to=functions
        )
        for function in functions:
            for _ in range(1 + self.duplicates):
                self.queue.put_nowait((event, function))


def app(
    world: World,
    state: EventGridState,
    authorize: Callable[[web.Request, str], None],
    topic_key: str,
) -> web.Application:
    async def publish(request: web.Request) -> web.Response:
        # https://learn.microsoft.com/azure/event-grid/post-to-custom-topic
        if fault_kind(request):
            raise web.HTTPNotImplemented(text=f"the Event Grid stand-in cannot play {fault_kind(request)}")
        if request.query.get("api-version") != "2018-01-01":
            raise refusal(web.HTTPBadRequest, "BadRequest", "api-version 2018-01-01 is required")
        given = request.headers.get("aeg-sas-key")
        if given is None:
            authorize(request, EVENT_GRID_AUDIENCE)
        elif given != topic_key:
            raise refusal(web.HTTPUnauthorized, "Unauthorized", "The request authorization key is not valid")
        for event in await read_batch(request):
            state.published.append(event)
            kind = event.get("eventType", event.get("type"))
            world.journal.write(SERVICE, "event published", type=kind, subject=event.get("subject"), body=event)
        return web.Response()

    async def deliverer(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(deliver_for_ever(state))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    application_ = application(SERVICE, world, [web.post("/api/events", publish)])
    application_.cleanup_ctx.append(deliverer)
    return application_


async def read_batch(request: web.Request) -> list[Event]:
    """The published events, checked as the topic checks them: by the schema that the content type names."""
    if request.content_type not in SCHEMAS:
        raise refusal(web.HTTPUnsupportedMediaType, "UnsupportedMediaType", f"no events in {request.content_type}")
    required, optional = SCHEMAS[request.content_type]
    try:
        events = await request.json()
    except ValueError as error:
        raise refusal(web.HTTPBadRequest, "BadRequest", "the body is not JSON") from error
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise refusal(web.HTTPBadRequest, "BadRequest", "the body is not an array of events")
    for event in events:
        missing = required - event.keys()
        # Extension attributes of CloudEvents may have any name of lower-case letters and digits.
        unknown = {name for name in event.keys() - required - optional if optional or not EXTENSION.fullmatch(name)}
        if missing or unknown or event.get("specversion", "1.0") != "1.0":
            text = f"missing {sorted(missing)}, unknown {sorted(unknown)}"
            raise refusal(web.HTTPBadRequest, "BadRequest", f"this event is not of the topic's schema: {text}")
    return events


def refusal(kind: type[web.HTTPClientError], code: str, message: str) -> web.HTTPClientError:
    text = web.json_response({"error": {"code": code, "message": message, "details": []}}).text
    return kind(text=text, content_type="application/json")


async def deliver_for_ever(state: EventGridState) -> None:
    connector = aiohttp.TCPConnector(ssl=state.target.trust, limit=10)
    timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
        while True:
            waiting = [await state.queue.get()]
            if state.reorder:
                await asyncio.sleep(GATHER)
                while not state.queue.empty():
                    waiting.append(state.queue.get_nowait())
                waiting.reverse()
            for event, function in waiting:
                task = group.create_task(deliver(state, session, event, function))
                if state.reorder:
                    await asyncio.wait([task], timeout=1)  # the turned order is the order of arrival, too


async def deliver(state: EventGridState, session: aiohttp.ClientSession, event: Event, function: str) -> None:
    """One event to one function until it is taken, refused for good, or given up."""
    facts = {"id": event["id"], "type": event["eventType"], "subject": event["subject"], "function": function}
    for attempt in range(ATTEMPTS):
        outcome = await post(state.target, session, event, function, attempt)
        state.world.journal.write(SERVICE, "event delivery", attempt=attempt + 1, outcome=outcome, **facts)
        if isinstance(outcome, int) and 200 <= outcome < 300:
            return
        if outcome in NOT_RETRIED:
            break
        await asyncio.sleep(state.back_off[min(attempt, len(state.back_off) - 1)])
    state.dead_letters.append(event | {"lastDeliveryOutcome": outcome, "deliveryAttempts": attempt + 1})
    state.world.journal.write(SERVICE, "event dead-lettered", outcome=outcome, **facts)


async def post(target: Target, session: aiohttp.ClientSession, event: Event, function: str, count: int) -> int | str:
    """The status of the answer, or what went wrong on the way to it."""
    # https://learn.microsoft.com/azure/azure-functions/event-grid-how-tos: the webhook of the Event Grid extension
    query = {"functionName": function, "code": target.key}
    headers = {"aeg-event-type": "Notification", "aeg-delivery-count": str(count)}
    try:
        async with session.post(target.url, params=query, json=[event], headers=headers) as response:
            return response.status
    except TimeoutError:
        return "no answer in time"
    except aiohttp.ClientError as error:
        return type(error).__name__
