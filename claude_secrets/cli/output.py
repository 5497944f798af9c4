"""What the commands print: single lines, in which nothing of a stranger can pose as something else.

Always: a control, format or line-breaking character (a directory's name may have any) is shown as U+FFFD; errors, hints
and warnings go to standard error; a stream that is closed or gone is no fault of ours.
"""

import gc
import json
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO

from claude_secrets.errors import Code, SecretsError


def prepare() -> None:
    """Let the streams take any text: a directory's name need not be Unicode."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(line: str = "") -> None:
    """Print one line."""
    _print(line, sys.stdout)


def hint(line: str) -> None:
    """Tell what can be done, or what else there is to know."""
    _print(f"hint: {line}", sys.stderr)


def warn(line: str) -> None:
    """Tell something that is no error."""
    _print(f"warning: {line}", sys.stderr)


def error(line: str) -> None:
    """Tell what went wrong."""
    _print(f"error: {line}", sys.stderr)


def note(line: str) -> None:
    """Tell something beside the output proper, so that it does not mix with what a program reads."""
    _print(line, sys.stderr)


def counted(number: int, what: str) -> str:
    """A number of things, such as "1 secret" or "2 secrets"."""
    return f"{number} {what}{'s' * (number != 1)}"


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns, each as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@contextmanager
def progress(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far long work is, on a terminal and not at all elsewhere; call it with what is done and the total."""
    gc.enable()  # `main` has no use for it
    stream = sys.stderr if sys.stderr is not None and sys.stderr.isatty() else None
    shown = -1

    def tell(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // max(total, 1)
        if stream is not None and percent != shown:
            shown = percent
            print(f"\r{doing}: {percent} % of {total}", end="", file=stream, flush=True)

    try:
        yield tell
    finally:
        if stream is not None and shown >= 0:
            print("\r\x1b[K", end="", file=stream, flush=True)


def verbs(parser: ArgumentParser, lines: Mapping[str, str]) -> None:
    """Take one of the verbs of a command, and say in its help what each does."""
    width = max(map(len, lines))
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = "\n".join(["verbs:", *(f"  {verb.ljust(width)}  {line}" for verb, line in lines.items())])
    parser.add_argument("verb", metavar="VERB", choices=list(lines), help="what to do, see below")


def say_json(data: object) -> None:
    """Print data as JSON."""
    if sys.stdout is not None:
        print(json.dumps(data, indent=2))  # which escapes all that could do harm


def write(data: bytes) -> None:
    """Write bytes as they are; on a terminal with a newline after them.

    Raises:
        SecretsError: there is no standard output.
    """
    if sys.stdout is None:
        raise SecretsError(Code.INVALID_ARGUMENTS, "There is no standard output to write to.")
    sys.stdout.buffer.write(data + (b"\n" if sys.stdout.isatty() else b""))


def flush() -> None:
    """Hand on what was printed.

    Raises:
        OSError: nobody takes it (BrokenPipeError), or it cannot be written.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def abandon() -> None:
    """Drop what cannot be printed, so that Python does not try once more at its end."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError, ValueError):
            stream.flush()
            continue
        with suppress(OSError, AttributeError, ValueError):
            os.dup2(nothing, stream.fileno())
    os.close(nothing)


def _print(line: str, stream: TextIO | None) -> None:
    if stream is not None:
        print("".join(c if c.isprintable() else "\ufffd" for c in line), file=stream)
