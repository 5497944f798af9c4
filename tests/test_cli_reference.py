"""docs/reference/cli.md matches the parsers."""

import re
import sys

import pytest

from claude_secrets import exit_codes
from claude_secrets.cli import parser
from claude_secrets.cli.parser import COMMANDS, parse, parser_of
from tests.support.cli_reference import EXIT_CODES, FILE, PYTHON, generate

VERBS = {"key": 5, "recover": 2, "policy": 2}


@pytest.mark.skipif(sys.version_info[:2] != PYTHON, reason="docs/reference/cli.md is made with Python 3.11")
def test_the_page_is_up_to_date() -> None:
    assert FILE.read_text("utf-8") == generate(), "run `python -m tests.support.cli_reference`"


def test_every_command_and_verb_has_a_section() -> None:
    titles = re.findall(r"^##+ (.+)$", generate(), re.MULTILINE)
    assert [title for title in titles[1:-1] if " " not in title] == list(COMMANDS)
    assert {name: len([title for title in titles if title.startswith(f"{name} ")]) for name in VERBS} == VERBS


def test_an_option_of_every_command_is_on_the_page_once() -> None:
    for option in ("--project DIR", "--store PATH", "--passphrase-fd N"):
        assert generate().count(option) == 1


def test_the_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    page = generate()
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert generate() == page


@pytest.mark.parametrize("name", COMMANDS)
def test_the_parser_of_a_command_is_the_one_that_parses(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parser, "command", lambda: "claude-secrets")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit):
        parse([name, "--help"])
    assert capsys.readouterr().out == parser_of(name, "claude-secrets").format_help()


def test_every_exit_code_is_in_the_table() -> None:
    assert set(EXIT_CODES) == {name for name in vars(exit_codes) if name.isupper()}
