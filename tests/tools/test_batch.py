"""`python -m tools.batch` where nobody answers as hoped: what it tells, and what it tries again."""

import argparse
import io
import json
from pathlib import Path

import httpx
import pytest

from shared.core.batch import batch_id
from tools import batch
from tools.api import Api, RefusedError, connect
from tools.bar import Bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def api(*answers: httpx.Response | BaseException) -> tuple[Api, list[httpx.Request]]:
    """A service that gives these answers, one after the other, and keeps what it was asked."""
    asked: list[httpx.Request] = []
    rest = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        following = next(rest)
        if isinstance(following, BaseException):
            raise following
        return following

    return Api(httpx.Client(base_url="https://app.example", transport=httpx.MockTransport(answer))), asked


def problem(status: int, detail: str) -> httpx.Response:
    return httpx.Response(status, json={"detail": detail}, headers={"Retry-After": "0"})


@pytest.mark.parametrize("name", ["none.csv", "empty.csv", "rows.txt", "folder.csv"])
def test_what_is_no_file_of_requests_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "rows.txt").write_text("device_id,csr\n")
    (tmp_path / "folder.csv").mkdir()
    assert batch.main([str(tmp_path / name), "--host", "app.example", "--label", "devices"]) == 2
    assert "ends with .csv, .jsonl, .ndjson or .zip" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--pause", "--cancel"], ["--every", "x"]])
def test_a_command_that_is_wrong_says_how_it_is_meant(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        batch.main(["rows.csv", *words])
    assert ended.value.code == 2


@pytest.mark.parametrize("content", ["", " \n", "k\u00e9y", "a\nb"])
def test_without_a_function_key_nothing_is_asked(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    with pytest.raises(RefusedError, match="BIRTHCERT_FUNCTION_KEY or --key-file"):
        connect("app.example", file, None)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    key = tmp_path / "key"
    with pytest.raises(RefusedError, match=str(key)):
        connect("app.example", key, None)
    key.write_text("k")
    with pytest.raises(RefusedError, match="No such file"):
        connect("app.example", key, tmp_path / "ca.pem")
    with pytest.raises(RefusedError, match="--host"):
        connect("app example:x", key, None)


def test_what_may_pass_is_tried_again_and_what_will_not_is_told_in_the_service_s_words() -> None:
    service, asked = api(problem(503, "down"), problem(429, "slow"), httpx.Response(200, json={"id": "b"}))
    assert service.json("GET", "/api/batches/b", tries=5) == {"id": "b"}
    assert len(asked) == 3
    service, asked = api(*[problem(503, "down")] * 3)
    with pytest.raises(RefusedError, match="503: down") as refused:
        service.json("GET", "/", tries=2)
    assert (refused.value.passing, len(asked)) == (True, 2)
    service, asked = api(problem(409, "the batch is done"), problem(409, "the batch is done"))
    with pytest.raises(RefusedError, match="409: the batch is done") as refused:
        service.json("GET", "/", tries=5)
    assert (refused.value.passing, len(asked)) == (False, 1)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (httpx.Response(401), "function key is not accepted"),
        (httpx.Response(404), "404: no details"),
        (httpx.Response(502, text="<html>Bad gateway"), "502: <html>Bad gateway"),
        (httpx.Response(302, headers={"Location": "https://elsewhere"}), "302: no details"),
        (httpx.Response(200, text="<html>Hello"), "does not answer in JSON"),
        (httpx.ConnectError("no route"), "https://app.example does not answer: no route"),
    ],
)
def test_each_answer_that_is_none_is_told(answer: httpx.Response | Exception, text: str) -> None:
    with pytest.raises(RefusedError, match=text):
        api(answer)[0].json("GET", "/")


def test_a_bar_is_redrawn_on_a_terminal_and_never_longer_than_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    out = Terminal()
    bar = Bar(out)
    bar.show(0.5, "x" * 100)
    bar.show(1.0, "done", last=True)
    first, second = out.getvalue().split("\r\x1b[K")[1:]
    assert len(first) == 49
    assert second == f"[{'█' * 30}] 100.0% done\n"


def test_where_there_is_no_terminal_there_is_a_line_now_and_then_and_one_at_the_end() -> None:
    out = io.StringIO()
    bar = Bar(out)
    for number in range(5):
        bar.show(number / 10, "going")
    bar.show(1.0, "done", last=True)
    assert [line.split("] ")[1] for line in out.getvalue().splitlines()] == ["  0.0% going", "100.0% done"]


def test_the_closing_table_tells_the_refused_rows_and_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.jsonl"
    rows = [{"row": one, "device_id": f"dev-{one}\x1b[31m", "outcome": "refused", "reason": "no"} for one in range(12)]
    results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    state = {"state": "paused", "rows_done": 12, "outcomes": {"issued": 0, "refused": 12}, "trouble": "the CA is away"}
    assert batch._closed(state, results) == 1
    out = capsys.readouterr().out
    assert "paused: 12 rows" in out
    assert "trouble: the CA is away" in out
    assert "--resume" in out
    assert 'row 0 "dev-0\\u001b[31m": no' in out
    assert "… and 2 more in the file" in out
    results.write_text("")
    assert batch._closed({**state, "state": "done"}, results) == 0


def command(folder: Path, *words: str) -> argparse.Namespace:
    file = folder / "rows.csv"
    file.write_text("device_id,csr\ndev-1,AAA\n")
    return batch._parser().parse_args(
        [str(file), "--host", "app.example", "--label", "devices", "--every", "0", *words]
    )


def shown(state: str, **more: object) -> httpx.Response:
    numbers = {"share": 0.0, "rows_done": 0, "rows_per_minute": 0, "outcomes": {}, "expected_end": None}
    found = {"id": "b-1", "state": state, "created": "c", "changed": None, "trouble": None, **numbers, **more}
    return httpx.Response(200, json=found)


def uploading() -> httpx.Response:
    return shown("uploading", upload={"location": "/", "most_bytes": 9})


@pytest.mark.parametrize(
    ("words", "answers", "text"),
    [
        ([], [KeyboardInterrupt()], "start the same command again to send it"),
        (
            [],
            [uploading(), httpx.Response(200, json={}), KeyboardInterrupt()],
            "start the same command again to send it",
        ),
        (["--resume"], [shown("paused"), KeyboardInterrupt()], "start the same command again to resume it"),
        (
            [],
            [shown("running"), KeyboardInterrupt()],
            "the batch goes on without us; start the same command again to watch it",
        ),
    ],
)
def test_who_stops_the_command_is_told_what_comes_of_it(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    words: list[str],
    answers: list[httpx.Response | BaseException],
    text: str,
) -> None:
    service, _ = api(*answers)
    assert batch._run(service, "text/csv", command(tmp_path, *words)) == 130
    assert capsys.readouterr().err.splitlines()[-1] == text


@pytest.mark.parametrize("deed", batch.DEEDS)
@pytest.mark.parametrize("answer", [problem(404, "there is no such batch"), uploading()], ids=["never", "half"])
def test_a_file_that_was_never_sent_is_not_steered_and_no_batch_is_made_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: httpx.Response, deed: str
) -> None:
    service, asked = api(answer)
    assert batch._run(service, "text/csv", command(tmp_path, f"--{deed}")) == 1
    assert f"the file has not been sent yet: there is nothing to {deed}" in capsys.readouterr().err
    assert [request.method for request in asked] == ["GET"]


def test_where_a_batch_cannot_be_looked_for_that_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service, _ = api(problem(503, "down"))
    assert batch._run(service, "text/csv", command(tmp_path, "--pause")) == 1
    assert "503: down" in capsys.readouterr().err


def test_the_id_that_a_batch_is_looked_for_by_is_that_which_the_service_gives_it(tmp_path: Path) -> None:
    service, asked = api(uploading(), KeyboardInterrupt())
    batch._run(service, "text/csv", command(tmp_path))
    key = asked[0].headers["Idempotency-Key"]
    service, asked = api(shown("running"), shown("paused"))
    assert batch._run(service, "text/csv", command(tmp_path, "--pause")) == 0
    assert [(one.method, one.url.path) for one in asked] == [
        ("GET", f"/api/batches/{batch_id(key)}"),
        ("POST", "/api/batches/b-1/pause"),
    ]
