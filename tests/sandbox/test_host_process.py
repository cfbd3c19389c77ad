"""The function host as a process: its keys and clock, its start and end, and apps that cannot be indexed."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from tests.sandbox.host_app.process import REPOSITORY, running, started, until

HOST_JSON = '{"version": "2.0"}'


def app_of(folder: Path, functions: str, host_json: str = HOST_JSON) -> Path:
    app = folder / "app"
    app.mkdir()
    (app / "host.json").write_text(host_json)
    head = "import azure.functions as func\napp = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)\n"
    (app / "function_app.py").write_text(head + dedent(functions))
    return app


def refusal(folder: Path, app: Path, **settings: str) -> str:
    """What a host that does not get ready leaves in its log."""
    with started(folder, app, **settings) as host:
        assert host.process.stdout is not None
        assert host.process.stdout.readline() == ""
        assert host.process.wait(20) == 1
    return host.log()


def test_the_host_says_what_it_runs_and_what_it_does_not(tmp_path: Path) -> None:
    functions = """
        @app.blob_trigger(arg_name="blob", path="x/{name}", connection="STORAGE")
        async def blob_came(blob: func.InputStream) -> None: ...
    """
    with running(tmp_path, app_of(tmp_path, functions)) as host:
        assert host.functions == ("blob_came",)
    assert "blob_came (blobTrigger) is not run here" in host.log()


def test_the_master_key_lists_the_functions_with_their_bindings(tmp_path: Path) -> None:
    with running(tmp_path) as host:
        listed = host.ask("/admin/functions", x_functions_key="master-key").json()
        assert host.ask("/admin/functions").status == 401
    triggers = {each["name"]: each["config"]["bindings"][0] for each in listed}
    assert {"echo", "work", "tick", "hub_event", "hub_batch"} <= triggers.keys()
    assert (triggers["hub_batch"]["type"], triggers["hub_batch"]["eventHubName"]) == ("eventHubTrigger", "dps-logs")


def test_the_host_ends_with_its_standard_input(tmp_path: Path) -> None:
    with running(tmp_path) as host:
        assert host.process.stdin is not None
        host.process.stdin.close()
        assert host.process.wait(10) == 0
    assert "Traceback" not in host.log()


@pytest.mark.parametrize(
    "line", ["", "{}", "no json", '{"function_key": "a", "master_key": "b", "event_grid_key": ""}']
)
def test_without_all_keys_there_is_no_host(line: str) -> None:
    command = [sys.executable, "-m", "sandbox.host", "--app", "tests/sandbox/host_app", "--port", "0"]
    done = subprocess.run(command, cwd=REPOSITORY, input=f"{line}\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "first line of standard input" in done.stderr


def test_a_function_that_hangs_in_a_thread_does_not_keep_the_host(tmp_path: Path) -> None:
    functions = """
        @app.route("hangs")
        def hangs(req: func.HttpRequest) -> str:
            print("hanging", flush=True)
            __import__("time").sleep(60)
            return ""
    """
    with running(tmp_path, app_of(tmp_path, functions)) as host, ThreadPoolExecutor() as pool:
        asked = pool.submit(host.ask, "/api/hangs")
        until(host.log, lambda log: "hanging" in log)
        assert host.process.stdin is not None
        host.process.stdin.close()
        assert host.process.wait(5) == 0
        assert isinstance(asked.exception(5), OSError)


def test_commands_may_follow_the_keys_at_once(tmp_path: Path) -> None:
    with started(tmp_path) as host:
        host.tell(offset_seconds=86_400)
        host.wait_until_ready()
        until(host.log, lambda log: "the app's clock is" in log)


def test_the_clock_of_the_app_moves_and_the_host_goes_on(tmp_path: Path) -> None:
    def ahead() -> timedelta:
        return datetime.fromisoformat(host.ask("/clock").json()["datetime"]) - start

    with running(tmp_path) as host:
        start = datetime.fromisoformat(host.ask("/clock").json()["datetime"])
        host.tell(offset_seconds=86_400 * 400)
        until(ahead, lambda moved: timedelta(days=400) <= moved < timedelta(days=400, minutes=1))
        told = host.ask("/clock").json()
        assert abs(told["time"] - datetime.fromisoformat(told["datetime"]).timestamp()) < 1
        host.tell(offset_seconds=0)
        until(ahead, lambda moved: moved < timedelta(minutes=1))
        host.tell(nonsense=1)
        until(host.log, lambda log: "is no command" in log)
        assert host.ask("/echo/x").status == 200


def test_a_timer_runs_when_the_clock_steps_over_its_time_and_is_retried(tmp_path: Path) -> None:
    with running(tmp_path) as host:
        host.tell(offset_seconds=86_400 * 366 * 2)
        seen = until(host.seen, lambda seen: len(seen) >= 2)
        assert seen == [{"timer": True, "retry": 0}, {"timer": True, "retry": 1}]


def test_the_master_key_runs_a_timer_now(tmp_path: Path) -> None:
    with running(tmp_path) as host:
        assert host.ask("/admin/functions/tick", "POST", b'{"input": ""}').status == 401
        wrong = host.ask("/admin/functions/tick", "POST", b"{}", x_functions_key="function-key")
        assert wrong.status == 401
        assert host.ask("/admin/functions/Tick", "POST", b"{}", x_functions_key="master-key").status == 202
        until(host.seen, lambda seen: seen[-1:] == [{"timer": False, "retry": 1}])
        assert host.ask("/admin/functions/none", "POST", b"{}", x_functions_key="master-key").status == 404
        assert host.ask("/admin/functions/echo", "POST", b"{}", x_functions_key="master-key").status == 501


def test_the_master_key_runs_a_queue_function_now_and_sees_the_status(tmp_path: Path) -> None:
    with running(tmp_path) as host:
        body = json.dumps({"input": "by hand"}).encode()
        assert host.ask("/admin/functions/work", "POST", body, x_functions_key="master-key").status == 202
        (seen,) = until(host.seen, bool)
        assert (seen["queue"], seen["dequeue_count"]) == ("by hand", 1)
        assert host.ask("/admin/host/status").status == 401
        assert host.ask("/admin/host/status", x_functions_key="master-key").json()["state"] == "Running"


def test_an_annotation_that_azure_refuses_names_its_function(tmp_path: Path) -> None:
    functions = """
        @app.route("fine")
        async def fine(req: func.HttpRequest) -> func.HttpResponse: ...
        @app.route("bad")
        async def bad(req: func.HttpRequest) -> func.HttpResponse | None: ...
    """
    log = refusal(tmp_path, app_of(tmp_path, functions))
    assert "cannot index the function bad" in log
    assert "fine" not in log.splitlines()[-1]


def test_an_app_that_fails_on_import_shows_its_traceback(tmp_path: Path) -> None:
    log = refusal(tmp_path, app_of(tmp_path, "raise LookupError('while importing')"))
    assert "LookupError: while importing" in log


def test_a_missing_setting_names_its_function(tmp_path: Path) -> None:
    functions = """
        @app.timer_trigger(arg_name="timer", schedule="%NO_SUCH_SETTING%")
        async def daily(timer: func.TimerRequest) -> None: ...
    """
    log = refusal(tmp_path, app_of(tmp_path, functions))
    assert "the function daily wants the app setting NO_SUCH_SETTING" in log


@pytest.mark.parametrize("missing", ["STORAGE__queueServiceUri", "IDENTITY_ENDPOINT"])
def test_a_queue_without_a_way_to_it_is_refused(tmp_path: Path, missing: str) -> None:
    functions = """
        @app.queue_trigger(arg_name="msg", queue_name="q", connection="STORAGE")
        async def work(msg: func.QueueMessage) -> None: ...
    """
    assert missing in refusal(tmp_path, app_of(tmp_path, functions), **{missing: ""}).splitlines()[-1]


def test_a_name_that_shadows_a_more_specific_route_is_refused(tmp_path: Path) -> None:
    functions = """
        @app.route("items/{id}")
        async def any_item(req: func.HttpRequest) -> func.HttpResponse: ...
        @app.route("items/recent")
        async def recent(req: func.HttpRequest) -> func.HttpResponse: ...
    """
    log = refusal(tmp_path, app_of(tmp_path, functions))
    assert "route 'items/recent' of recent is shadowed by 'items/{id}' of any_item" in log


def test_the_route_prefix_is_api_unless_host_json_says_otherwise(tmp_path: Path) -> None:
    functions = """
        @app.route("hello")
        async def hello(req: func.HttpRequest) -> str:
            return "hello"
    """
    with running(tmp_path, app_of(tmp_path, functions)) as host:
        assert host.ask("/API/hello").body == b"hello"
        assert host.ask("/hello").status == 404
