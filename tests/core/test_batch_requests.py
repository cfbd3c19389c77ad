"""What a factory says with a batch: its label, and how long the whole file is."""

import json

import pytest

from shared.core import batch_views, births
from shared.core.errors import Malformed
from shared.core.ops import Command


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({}, "must hold the label"),
        ({"label": "devices", "lable": "x"}, "label and comment, and nothing else"),
        ({"label": "devices", "comment": "two\nlines"}, "one line of plain text"),
        ({"label": "devices", "comment": "x" * 401}, "at most 400"),
    ],
)
def test_what_a_new_batch_must_say(parameters: dict[str, str], text: str) -> None:
    with pytest.raises(Malformed, match=text):
        batch_views.wanted(parameters)


def test_the_key_of_the_function_is_no_parameter_of_ours() -> None:
    assert batch_views.wanted({"label": "devices", "comment": "lot 7", "code": "x"}) == ("devices", "lot 7")


def test_a_start_may_say_how_long_the_file_is() -> None:
    for content, wanted in ({}, None), ({"bytes": 7}, 7):
        body = json.dumps({"comment": "lot 7", **content}).encode()
        assert births.started(body, key="k", caller="ada") == (Command("k", "ada", "lot 7"), wanted)


@pytest.mark.parametrize("length", [0, -1, 1.5, "7", True, [7]])
def test_a_length_that_is_none_is_refused(length: object) -> None:
    with pytest.raises(Malformed, match="the length of the whole file"):
        births.started(json.dumps({"bytes": length}).encode(), key="k", caller="ada")
