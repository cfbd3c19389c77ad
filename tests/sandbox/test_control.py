"""The control of the sandbox: plain HTTP, clear refusals."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from aiohttp import web

from sandbox import control
from sandbox.control import Levers
from sandbox.web import application
from sandbox.world import Fault, World, new_world
from tests.sandbox.support import Answer, call, serving


@dataclass
class Stage:
    """`pulled` keeps what the levers were told."""

    world: World = field(default_factory=new_world)
    pulled: list[object] = field(default_factory=list)
    url: str = ""

    async def buffer_chunked(self, value: bool) -> None:
        self.pulled.append(value)

    def levers(self) -> Levers:
        return Levers(
            services={"DPS"},
            buffer_chunked=self.buffer_chunked,
            event_grid=lambda *told: self.pulled.append(told),
            new_secret_version=lambda *told: self.pulled.append(told),
            published=lambda: [{"id": "1"}],
            dead_letters=lambda: [{"id": "2"}],
            roll=lambda announce_old: f"new CA, {announce_old}",
            revoke=self.revoke,
            renew_any_time=self.pulled.append,
            properties_as_text=self.pulled.append,
            shows_certificate=self.pulled.append,
            deployment=self.pulled.append,
        )

    def revoke(self, serial: str, reason: str) -> str:
        self.pulled.append((serial, reason))
        return "" if serial == "01" else "no such certificate"

    async def ask(self, method: str, path: str, body: object = None) -> Answer:
        return await call(method, self.url + path, json=body)


def play(scenario: Callable[[Stage], Awaitable[None]]) -> None:
    async def staged() -> None:
        stage = Stage()
        async with serving(control.app(stage.world, stage.levers())) as port:
            stage.url = f"http://127.0.0.1:{port}"
            await scenario(stage)

    asyncio.run(staged())


def test_the_journal_is_read_from_any_entry_on_and_forgotten() -> None:
    async def scenario(stage: Stage) -> None:
        for event in ("one", "two", "three"):
            stage.world.journal.write("DPS", event)
        assert [entry["event"] for entry in (await stage.ask("GET", "/journal")).body] == ["one", "two", "three"]
        assert [entry["event"] for entry in (await stage.ask("GET", "/journal?since=2")).body] == ["three"]
        assert (await stage.ask("GET", "/journal?since=-1")).status == 400
        assert (await stage.ask("DELETE", "/journal")).status == 204
        assert (await stage.ask("GET", "/journal")).body == []

    play(scenario)


def test_a_planned_fault_hits_as_often_as_planned() -> None:
    async def scenario(stage: Stage) -> None:
        fault = {"service": "DPS", "kind": "status", "method": "GET", "path": "/x", "status": 429, "times": 2}
        made = await stage.ask("POST", "/faults", fault | {"headers": {"Retry-After": "7"}, "body": "slow down"})
        assert made.status == 201
        assert (await stage.ask("GET", "/faults")).body == [made.body]

        async def fine(_: web.Request) -> web.Response:
            return web.Response(text="fine")

        async with serving(application("DPS", stage.world, [web.get("/x", fine)])) as port:
            answers = [await call("GET", f"http://127.0.0.1:{port}/x") for _ in range(3)]
        assert [answer.status for answer in answers] == [429, 429, 200]
        assert (answers[0].headers["Retry-After"], answers[0].body) == ("7", "slow down")
        assert stage.world.faults.planned == []

    play(scenario)


def test_faults_can_be_withdrawn() -> None:
    async def scenario(stage: Stage) -> None:
        stage.world.faults.planned.append(Fault("DPS", "drop"))
        assert (await stage.ask("DELETE", "/faults")).status == 204
        assert (await stage.ask("GET", "/faults")).body == []

    play(scenario)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ([], "not a JSON object"),
        ({"service": "DPS"}, "needs kind"),
        ({"service": "dps", "kind": "drop"}, "there is no service dps"),
        ({"service": "DPS", "kind": "drop", "count": 1}, "has no count"),
        ({"service": "DPS", "kind": "Drop it"}, "small letters"),
        ({"service": "DPS", "kind": "delay"}, "needs seconds"),
        ({"service": "DPS", "kind": "status", "status": 99}, "between 200 and 599"),
        ({"service": "DPS", "kind": "status", "status": "503"}, "status is a whole number"),
        ({"service": "DPS", "kind": "drop", "times": True}, "times is a whole number"),
        ({"service": "DPS", "kind": "drop", "times": 0}, "times is 1 or more"),
        ({"service": "DPS", "kind": "status", "headers": {"a": 1}}, "headers are texts"),
    ],
)
def test_a_fault_that_could_never_hit_is_refused(fault: object, text: str) -> None:
    async def scenario(stage: Stage) -> None:
        answer = await stage.ask("POST", "/faults", fault)
        assert (answer.status, text in answer.body) == (400, True), answer.body
        assert stage.world.faults.planned == []

    play(scenario)


def test_the_clock_moves() -> None:
    async def scenario(stage: Stage) -> None:
        before = stage.world.clock.now()
        assert (await stage.ask("PUT", "/clock", {"offset_seconds": 86400})).body["offset_seconds"] == 86400
        assert stage.world.clock.now() - before >= timedelta(days=1)
        assert (await stage.ask("GET", "/clock")).body["now"].startswith(stage.world.clock.now().date().isoformat())
        for nonsense in ({"offset_seconds": 1e300}, {"offset_seconds": "1"}, {}, {"offset_seconds": 1, "x": 1}):
            assert (await stage.ask("PUT", "/clock", nonsense)).status == 400

    play(scenario)


def test_levers_are_pulled() -> None:
    async def scenario(stage: Stage) -> None:
        assert (await stage.ask("PUT", "/edge", {"buffer_chunked": False})).status == 200
        assert (await stage.ask("PUT", "/event-grid", {"duplicates": 2, "reorder": True})).status == 200
        assert (await stage.ask("PUT", "/key-vault/digicert-api-key", {"value": "new"})).status == 204
        assert stage.pulled == [False, (2, True), ("digicert-api-key", "new")]
        assert (await stage.ask("PUT", "/edge", {"buffer_chunked": 0})).status == 400
        assert (await stage.ask("PUT", "/event-grid", {"duplicates": -1, "reorder": True})).status == 400
        assert len(stage.pulled) == 3

    play(scenario)


def test_the_ca_is_rolled_and_revokes_behind_the_back_of_the_app() -> None:
    async def scenario(stage: Stage) -> None:
        rolled = await stage.ask("POST", "/digicert/roll", {"announce_old": False})
        assert (rolled.status, rolled.body) == (201, {"ca": "new CA, False"})
        revocation = {"serial": "01", "reason": "key_compromise"}
        assert (await stage.ask("POST", "/digicert/revoke", revocation)).status == 204
        unknown = await stage.ask("POST", "/digicert/revoke", revocation | {"serial": "02"})
        assert (unknown.status, unknown.body) == (400, "no such certificate\n")
        assert (await stage.ask("PUT", "/digicert", {"renew_any_time": True})).status == 200
        assert (await stage.ask("PUT", "/dps", {"properties_as_text": True})).status == 200
        assert (await stage.ask("PUT", "/dps/webhook", {"shows_certificate": True})).status == 200
        assert (await stage.ask("PUT", "/deployment", {"done": False})).status == 200
        assert stage.pulled == [("01", "key_compromise"), ("02", "key_compromise"), True, True, True, False]
        assert (await stage.ask("POST", "/digicert/roll", {})).status == 400

    play(scenario)


def test_published_events_and_dead_letters_are_shown() -> None:
    async def scenario(stage: Stage) -> None:
        assert (await stage.ask("GET", "/event-grid/published")).body == [{"id": "1"}]
        assert (await stage.ask("GET", "/event-grid/dead-letters")).body == [{"id": "2"}]

    play(scenario)


def test_it_tells_what_it_can_do_and_which_secrets_there_are() -> None:
    async def scenario(stage: Stage) -> None:
        stage.world.secrets.append("canary-1")
        assert (await stage.ask("GET", "/secrets")).body == ["canary-1"]
        assert "POST   /faults" in (await stage.ask("GET", "/")).body
        assert (await stage.ask("GET", "/nothing")).status == 501

    play(scenario)
