"""HTTP functions through the function host, seen from the wire."""

from collections.abc import Iterator

import pytest

from tests.sandbox.host_app.process import HostProcess, running


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    with running(tmp_path_factory.mktemp("host")) as host:
        yield host


def test_a_function_gets_the_request_as_the_real_host_tells_it(host: HostProcess) -> None:
    told = host.ask("/Echo/a%2Fb/%C3%A9?A=1&a=2&b=", "POST", b"\x00\xff", X_Two="1", x_two="2").json()
    assert told["method"] == "POST"
    assert told["url"] == f"http://127.0.0.1:{host.port}/Echo/a%2Fb/%C3%A9?A=1&a=2&b="
    assert told["headers"]["x-two"] == "1,2"
    assert told["params"] == {"A": "1,2"}
    assert told["route"] == {"rest": "a%2Fb/é"}
    assert told["body"] == "\x00\xff"


def test_the_front_end_decides_the_scheme(host: HostProcess) -> None:
    assert host.ask("/echo/", X_Forwarded_Proto="https").json()["url"].startswith("https://127.0.0.1")


def test_a_chunked_body_never_reaches_the_function(host: HostProcess) -> None:
    told = host.ask("/echo/x", "POST", b"3\r\nabc\r\n0\r\n\r\n", Transfer_Encoding="chunked").json()
    assert told["body"] == ""
    assert told["headers"]["transfer-encoding"] == "chunked"


def test_a_body_comes_as_it_was_sent_even_when_it_says_it_is_compressed(host: HostProcess) -> None:
    assert host.ask("/echo/x", "POST", b"not gzip", Content_Encoding="gzip").json()["body"] == "not gzip"


def test_a_client_certificate_of_32_kilobytes_fits_into_a_header(host: HostProcess) -> None:
    assert host.ask("/echo/x", X_ARR_ClientCert="A" * 30_000).json()["headers"]["x-arr-clientcert"] == "A" * 30_000


def test_an_answer_keeps_status_body_and_the_case_of_its_headers(host: HostProcess) -> None:
    answer = host.ask("/.well-known/est/factory/simpleenroll", "POST", b"MIIB")
    assert (answer.status, answer.body) == (202, b"MIIB")
    assert answer.header("Retry-After") == "7"
    assert answer.header("content-type") == "a/b; c=d"
    assert answer.header("Content-Length") == "4"
    assert ("X-MiXed", "Case") in host.ask("/echo/x").headers


def test_custom_headers_of_host_json_are_added(host: HostProcess) -> None:
    assert host.ask("/echo/x").header("X-Content-Type-Options") == "nosniff"


def test_no_content_has_neither_body_nor_length(host: HostProcess) -> None:
    answer = host.ask("/empty")
    assert (answer.status, answer.body, answer.header("Content-Length")) == (204, b"", None)


def test_head_has_the_length_but_no_body(host: HostProcess) -> None:
    answer = host.ask("/secured", "HEAD", x_functions_key="function-key")
    assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "12")


def test_cookies_stay_apart(host: HostProcess) -> None:
    cookies = [value for name, value in host.ask("/cookies").headers if name == "Set-Cookie"]
    assert cookies == ["a=1; Path=/", "b=2; Secure"]


def test_a_failed_function_is_a_bare_500_with_the_traceback_in_the_log_once(host: HostProcess) -> None:
    answer = host.ask("/fails")
    assert (answer.status, answer.body) == (500, b"")
    assert host.log().count("RuntimeError: the reason why") == 1


@pytest.mark.parametrize("told", ["a%C3%A9", "a%00b", "a%7F"])
def test_a_header_that_kestrel_refuses_is_a_bare_500(host: HostProcess, told: str) -> None:
    answer = host.ask(f"/smuggles?told={told}")
    assert (answer.status, answer.body) == (500, b"")


def test_a_function_that_runs_too_long_is_a_500(host: HostProcess) -> None:
    assert host.ask("/hangs").status == 500
    assert "Timeout value of 2.0 s was exceeded" in host.log()


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_wrong_method_is_not_found(host: HostProcess, method: str) -> None:
    assert host.ask("/.well-known/est/factory/simpleenroll", method).status == 404


@pytest.mark.parametrize("path", ["/", "/nothing", "/api/echo/x", "/.well-known/est//simpleenroll"])
def test_an_unknown_path_is_not_found(host: HostProcess, path: str) -> None:
    assert host.ask(path, "POST", b"").status == 404


def test_a_nul_in_the_path_is_refused(host: HostProcess) -> None:
    assert host.ask("/echo/%00").status == 400


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/secured", "", 401),
        ("/secured", "wrong", 401),
        ("/secured", "event-grid-key", 401),
        ("/secured", "function-key", 200),
        ("/secured", "master-key", 200),
        ("/only-admin", "function-key", 401),
        ("/only-admin", "master-key", 200),
        ("/echo/x", "", 200),
    ],
)
def test_keys_open_their_own_level(host: HostProcess, path: str, key: str, status: int) -> None:
    assert host.ask(path, x_functions_key=key).status == status
    assert host.ask(f"{path}?code={key}").status == status


def test_a_wrong_key_in_the_header_beats_a_right_one_in_the_query(host: HostProcess) -> None:
    assert host.ask("/secured?code=function-key", x_functions_key="wrong").status == 401


def test_what_the_app_logs_and_prints_goes_to_the_log_as_it_is(host: HostProcess) -> None:
    host.ask("/logs")
    lines = host.log().splitlines()
    assert "a line of the app" in lines
    assert "a printed line" in lines


def test_a_body_above_the_limit_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("limited")
    with running(folder, FUNCTIONS_REQUEST_BODY_SIZE_LIMIT="10") as host:
        assert host.ask("/echo/x", "POST", b"x" * 10).json()["body"] == "x" * 10
        assert host.ask("/echo/x", "POST", b"x" * 11).status == 413


def test_a_client_that_waits_for_permission_to_send_gets_it(host: HostProcess) -> None:
    assert host.ask("/echo/x", "POST", b"body", Expect="100-continue").json()["body"] == "body"
