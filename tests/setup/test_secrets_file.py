"""The secrets that are handed over: read from a file or standard input, checked, and never quoted."""

from pathlib import Path

import pytest

from infra.setup import secrets_file
from infra.setup.refused import Refused
from infra.setup.wanted import SecretForm

NAMED: dict[str, SecretForm] = {"digicert-api-key": "key", "est-passcode": "pair"}


def test_values_are_read_by_name_without_the_white_space_around_them(tmp_path: Path) -> None:
    file = tmp_path / "secrets.toml"
    file.write_text('digicert-api-key = "one-word\\n"\nest-passcode = """\nuser:passcode\n"""\n')
    assert secrets_file.read(str(file), NAMED) == {"digicert-api-key": "one-word", "est-passcode": "user:passcode"}
    assert secrets_file.read("", NAMED) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("digicert-api-key = canary", "cannot be read as TOML (at line 1"),
        ('digicert-api-key = "can\nary"', "cannot be read as TOML (at line 1"),
        ('digicert-key = "canary"', "no profile names a secret 'digicert-key'"),
        ("digicert-api-key = 5", "the value of digicert-api-key is no text"),
        ('digicert-api-key = "canary two"', "the value of digicert-api-key is not one word"),
        ('est-passcode = "canary"', "the value of est-passcode is not user:passcode"),
    ],
)
def test_what_cannot_be_right_is_refused_with_a_template_and_without_the_value(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "secrets.toml"
    file.write_text(text)
    with pytest.raises(Refused) as refused:
        secrets_file.read(str(file), NAMED)
    assert said in refused.value.what
    assert "--secrets FILE" in refused.value.remedy
    assert 'est-passcode = "user:passcode"' in refused.value.remedy
    assert "canary" not in f"{refused.value.what}{refused.value.remedy}"
    assert refused.value.__cause__ is None


def test_a_file_that_is_not_there_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        secrets_file.read(str(tmp_path / "nothing"), NAMED)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(Refused, match="no text in UTF-8"):
        secrets_file.read(str(tmp_path / "binary"), NAMED)
