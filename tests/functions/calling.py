"""Calling a function of the app as the worker does: a request made by hand, the registered handler, an answer."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import azure.functions as func

from shared.flows.application import Application

REQUEST_ID = "0b0e3c42-7a39-4ab5-9d2a-6a9d6ef5a1c7"

type Blueprint = Callable[[Callable[[], Application]], func.Blueprint]


def handler(blueprint: Blueprint, application: Callable[[], Application], name: str) -> Callable[..., Any]:
    """The handler of one function, as `function_app.py` would register it."""
    app = func.FunctionApp()
    app.register_functions(blueprint(application))
    found = {one.get_function_name(): one.get_user_function() for one in app.get_functions()}
    handle: Callable[..., Any] = found[name]
    return handle


def context() -> Any:  # noqa: ANN401 - stands for func.Context, which is abstract
    return SimpleNamespace(invocation_id=REQUEST_ID)


def http(method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> func.HttpRequest:
    return func.HttpRequest(method=method, url=f"https://est.example{path}", headers=headers or {}, body=body)


@dataclass
class Message:
    """Stands for func.QueueMessage."""

    content: Any
    dequeue_count: int | None = 1

    def get_json(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.content)


@dataclass
class Kept:
    """Stands for func.Out[str]."""

    value: str = ""

    def set(self, value: str) -> None:
        self.value = value
