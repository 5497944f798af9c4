"""Prints the output of the commands, line by line.

Always: a control, format or line-breaking character is shown as U+FFFD, so that a name, such as a directory's, cannot
forge output. Errors, hints and warnings go to standard error, and failures to write to standard error are ignored.
Failures to write to standard output are raised only by `flush`, so that a command finishes its work first.
"""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Final


class UnwrittenError(OSError):
    """Some of the output could not be written to standard output."""


_refused: Final[list[OSError]] = []


def prepare() -> None:
    """Make standard output and standard error accept any text, because a directory's name may be invalid Unicode.

    Files and pipes get UTF-8 on every system, because programs read them. A terminal keeps its own encoding.
    """
    _refused.clear()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def say(line: str = "") -> None:
    """Print one line."""
    _out(_plain(line) + "\n")


def hint(line: str) -> None:
    """Print a hint on standard error. A hint says what the person can do or should know."""
    _tell(f"hint: {line}")


def warn(line: str) -> None:
    """Print a warning on standard error."""
    _tell(f"warning: {line}")


def error(line: str) -> None:
    """Print an error on standard error."""
    _tell(f"error: {line}")


def note(line: str) -> None:
    """Print a note on standard error, because programs may read the standard output."""
    _tell(line)


def counted(number: int, what: str) -> str:
    """Return a number with its noun, such as "1 secret" or "2 secrets"."""
    return f"{number} {what}{'s' * (number != 1)}"


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns, each as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


class _Progress:
    """Whether the terminal's last line shows progress. Messages on standard error erase that line first."""

    is_shown = False

    def erase(self) -> None:
        if self.is_shown:
            self.is_shown = False
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


_progress: Final = _Progress()


@contextmanager
def progress(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of long work if standard error is a terminal.

    Yields a function. Call it with the amount of work done and the total amount.
    """
    stream = sys.stderr if sys.stderr is not None and sys.stderr.isatty() else None
    shown = -1

    def tell(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // max(total, 1)
        if stream is not None and percent != shown:
            shown = percent
            print(f"\r{doing}: {done} of {total}", end="", file=stream, flush=True)
            _progress.is_shown = True

    try:
        yield tell
    finally:
        _progress.erase()


def say_json(data: object) -> None:
    """Print data as JSON."""
    _out(json.dumps(data, indent=2) + "\n")  # JSON escapes all harmful characters


def write(data: bytes) -> None:
    """Write bytes unchanged; on a terminal, add a newline."""
    _out(data)
    if sys.stdout is not None and sys.stdout.isatty():
        _out(b"\n")


def flush() -> None:
    """Write out all buffered output.

    Call this before a question, so that the person has seen the output before they answer.

    Raises:
        BrokenPipeError: the reader has closed the pipe.
        UnwrittenError: output could not be written, now or earlier.
    """
    with _remembering():
        if sys.stdout is not None:
            sys.stdout.flush()
    if _refused:
        raise UnwrittenError(*_refused[0].args)
    if sys.stderr is not None:
        with suppress(OSError):  # the failure cannot be shown anywhere
            sys.stderr.flush()


def abandon() -> None:
    """Discard output that cannot be written, so that Python does not try to write it again when it exits."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError, ValueError):
            stream.flush()
            continue
        with suppress(OSError, AttributeError, ValueError):
            os.dup2(nothing, stream.fileno())
    os.close(nothing)


def _out(data: str | bytes) -> None:
    with _remembering():
        if sys.stdout is None:
            raise OSError(errno.EBADF, "standard output is closed")
        if isinstance(data, str):
            sys.stdout.write(data)
        else:
            sys.stdout.buffer.write(data)


@contextmanager
def _remembering() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _refused.append(error)


def _tell(line: str) -> None:
    _progress.erase()
    if sys.stderr is not None:
        with suppress(OSError):  # the failure cannot be shown anywhere
            print(_plain(line), file=sys.stderr)


def _plain(line: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in line)
