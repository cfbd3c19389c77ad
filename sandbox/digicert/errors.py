"""The three shapes in which DigiCert ONE reports errors; a client has to read all of them.

https://dev.digicert.com/get-started/error-handling-rate-limits.html shows the first two, Private CA speaks the third.
"""

import json
from http import HTTPStatus

from aiohttp import web


def problem(status: int, code: str, message: str) -> web.HTTPException:
    """IoT Trust Manager: `{"errors":[{"code","message"}]}`."""
    return exception(status, {"errors": [{"code": code, "message": message}]})


def gateway_problem(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.HTTPException:
    """What stands before all products, for example on a bad API key: `{"error":{"code","message"}}`."""
    return exception(status, {"error": {"code": code, "message": message}}, headers)


def private_ca_problem(status: int, code: int, message: str) -> web.HTTPException:
    """Private CA (CA Manager): `{"message","code"}` with a number."""
    return exception(status, {"message": message, "code": code})


def planned(fault: str) -> web.HTTPException | None:
    """The 400 in one of the three shapes, when a test has planned one."""
    match fault:
        case "error_shape_1":
            return problem(400, "invalid_input", "a planned error of the first shape")
        case "error_shape_2":
            return gateway_problem(400, "invalid_request", "a planned error of the second shape")
        case "error_shape_3":
            return private_ca_problem(400, 4000, "a planned error of the third shape")
        case _:
            return None


class JsonProblem(web.HTTPException):
    """An error answer whose status is chosen at run time; aiohttp has one class per status."""

    def __init__(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        self.status_code = status
        text = json.dumps(body)
        super().__init__(headers=headers, reason=HTTPStatus(status).phrase, text=text, content_type="application/json")


def exception(status: int, body: object, headers: dict[str, str] | None = None) -> web.HTTPException:
    return JsonProblem(status, body, headers)
