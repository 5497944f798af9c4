"""Make docs/reference/cli.md from the real parsers. `python -m tests.support.cli_reference` rewrites the file.

Always: the result depends on the parsers and the Python version only, not on the terminal or the environment.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from unittest.mock import patch

from claude_secrets import exit_codes
from claude_secrets.cli.arguments import add_common
from claude_secrets.cli.parser import COMMANDS, parser_of
from claude_secrets.paths import APPLICATION

FILE: Final = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"

PYTHON: Final = (3, 11)
"""The Python version that makes the file: argparse formats its help differently in other versions."""

TERMINAL: Final = {"COLUMNS": "90", "NO_COLOR": "1"}
"""The environment that argparse reads. argparse leaves two of the columns free."""

EXIT_CODES: Final = {
    "FAILED": "An error, or something was not found. `doctor` found a problem.",
    "WRONG_USAGE": "The command line is invalid, or does not fit the project or the store.",
    "DENIED": "The allowlist, a rule, missing trust or a refusal denies the command. `policy explain`: it would.",
    "VALUE_FOUND": "`scan` found a stored value.",
    "NO_KEY": "The key cannot be had: there is none, it is locked, or it is wrong.",
    "PARTLY_SCANNED": "`scan` found no value, but could not read everything.",
    "NOT_STARTED": "`exec`: the program exists but cannot be started.",
    "NO_PROGRAM": "`exec`: there is no such program.",
    "INTERRUPTED": "You pressed Ctrl-C, or cancelled at a question.",
}
"""The meaning of each constant of `claude_secrets.exit_codes`, in the order of the table."""

_INTRODUCTION: Final = f"""\
# Command line

<!-- Made from the program's help by `python -m tests.support.cli_reference`. Do not edit. -->

This page lists every command of `{APPLICATION}` with its options.
`{APPLICATION} COMMAND --help` prints the section of one command. Without a command,
`{APPLICATION}` is the MCP server if its input is a pipe, and prints its help on a terminal.

"""


def generate() -> str:
    """Return the whole page."""
    with patch.dict(os.environ, TERMINAL):
        parts = [_INTRODUCTION, _common_options(), *(part for name in COMMANDS for part in _command(name))]
        return "".join([*parts, _exit_codes()])


def _common_options() -> str:
    parser = argparse.ArgumentParser(prog=APPLICATION)
    add_common(parser)
    return f"## Options of every command\n\n{_code(_options(parser))}\n"


def _command(name: str) -> Iterator[str]:
    """Yield a command's section and the sections of its verbs."""
    parser = parser_of(name, APPLICATION)
    yield _section("##", name, parser)
    for verb, one in _verbs(parser).items():
        yield _section("###", f"{name} {verb}", one)


def _section(level: str, title: str, parser: argparse.ArgumentParser) -> str:
    _hide_common(parser)
    prefix = "usage: "
    usage = parser.format_usage().removeprefix(prefix).replace("\n" + " " * len(prefix), "\n").rstrip()
    options = _options(parser)
    shown = _code(f"{usage}\n\n{options}" if options else usage)
    return f"{level} {title}\n\n{parser.description}\n\n{shown}\n"


def _verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of a command's verbs, by verb."""
    verbs = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            verbs.update(action.choices)
    return verbs


def _hide_common(parser: argparse.ArgumentParser) -> None:
    """Leave out the options that every command takes."""
    common = argparse.ArgumentParser()
    add_common(common)
    names = {action.dest for action in common._actions}
    for action in parser._actions:
        if action.dest in names:
            action.help = argparse.SUPPRESS


def _options(parser: argparse.ArgumentParser) -> str:
    """Return arguments and options as argparse's help shows them; verbs have sections of their own."""
    formatter = parser._get_formatter()
    for group in parser._action_groups:
        if group.title == "verbs":
            continue
        formatter.start_section(group.title)
        formatter.add_arguments(group._group_actions)
        formatter.end_section()
    return formatter.format_help().rstrip()


def _code(text: str) -> str:
    return f"```text\n{text}\n```\n"


def _exit_codes() -> str:
    rows = [(0, "Success. `exec` returns the exit code of its program instead.")]
    rows += [(getattr(exit_codes, name), meaning) for name, meaning in EXIT_CODES.items()]
    lines = [f"| {code} | {meaning} |" for code, meaning in rows]
    return "\n".join(["## Exit codes", "", "| code | meaning |", "|---|---|", *lines, ""])


def main() -> None:
    """Rewrite the file."""
    if sys.version_info[:2] != PYTHON:
        raise SystemExit(f"run this with Python {'.'.join(map(str, PYTHON))}: other versions format help differently")
    FILE.write_text(generate(), encoding="utf-8")


if __name__ == "__main__":
    main()
