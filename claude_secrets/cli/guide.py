"""Lay out the texts that guide a person through the first steps.

Always: on a terminal, texts are broken between words so that they fit its width. Commands on their own line or in
backquotes are never broken. In a pipe or a file, each text is one line.
"""

import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Final

from claude_secrets.cli.output import flush, note, say

_WIDEST: Final = 100
"""The greatest width of a text, in columns: longer lines are hard to read."""

_NARROWEST: Final = 40
_COMMAND: Final = re.compile("`[^`]*`")
_KEPT_BLANK: Final = "\x1f"
"""Takes the place of a blank in a command while a text is broken into lines."""


def is_shown() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def paragraph(text: str, *, indent: int = 0) -> None:
    """Print a text, each of its lines with `indent` blanks before it."""
    for line in _lines(text, " " * indent, " " * indent):
        say(line)


def item(mark: str, head: str, text: str) -> None:
    """Print an item of a list: a mark with a head next to it, and a text below the head."""
    say(f"  {mark}  {head}")
    paragraph(text, indent=5)


def caution(text: str) -> None:
    """Print a warning on standard error."""
    flush()
    for line in _lines(f"warning: {text}", "", "  "):
        note(line)


def advice(text: str) -> None:
    """Print a hint on standard error."""
    flush()
    for line in _lines(f"hint: {text}", "", "  "):
        note(line)


def notice(text: str) -> None:
    """Print a text for the person on standard error, because standard output has the result."""
    flush()
    for line in _lines(text, "", ""):
        note(line)


def steps(commands: Sequence[tuple[str, str]]) -> None:
    """Print commands, each with what it does: beside the command if all lines fit, else below it."""
    width = max(len(line) for line, _ in commands)
    if all(2 + width + 3 + len(what) <= _columns() for _, what in commands):
        for line, what in commands:
            say(f"  {line.ljust(width)}   {what}")
        return
    for line, what in commands:
        say(f"  {line}")
        paragraph(what, indent=6)


def _lines(text: str, first: str, rest: str) -> list[str]:
    if not is_shown():
        return [first + text]
    lines = textwrap.wrap(
        _COMMAND.sub(lambda found: found[0].replace(" ", _KEPT_BLANK), text),
        max(_NARROWEST, min(_columns(), _WIDEST)),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_KEPT_BLANK, " ") for line in lines]


def _columns() -> int:
    return shutil.get_terminal_size().columns
