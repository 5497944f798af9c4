"""What the commands print: single lines, in which nothing of a stranger can pose as something else.

Always: a control, format or line-breaking character (a directory's name may have any) is shown as U+FFFD; errors, hints
and warnings go to standard error, if it takes them; what standard output does not take is remembered until `flush`, so
that a command does all of its work first.
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
    """Standard output did not take all that was printed."""


_refused: Final[list[OSError]] = []


def prepare() -> None:
    """Let the streams take any text: a directory's name need not be Unicode."""
    _refused.clear()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(line: str = "") -> None:
    """Print one line."""
    _out(_plain(line) + "\n")


def hint(line: str) -> None:
    """Tell what can be done, or what else there is to know."""
    _tell(f"hint: {line}")


def warn(line: str) -> None:
    """Tell something that is no error."""
    _tell(f"warning: {line}")


def error(line: str) -> None:
    """Tell what went wrong."""
    _tell(f"error: {line}")


def note(line: str) -> None:
    """Tell something beside the output proper, so that it does not mix with what a program reads."""
    _tell(line)


def counted(number: int, what: str) -> str:
    """A number of things, such as "1 secret" or "2 secrets"."""
    return f"{number} {what}{'s' * (number != 1)}"


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns, each as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


class _Progress:
    """Whether the last line on the terminal says how far work is: it gives way to anything else."""

    is_shown = False

    def erase(self) -> None:
        if self.is_shown:
            self.is_shown = False
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


_progress: Final = _Progress()


@contextmanager
def progress(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far long work is, on a terminal and not at all elsewhere; call it with what is done and the total."""
    stream = sys.stderr if sys.stderr is not None and sys.stderr.isatty() else None
    shown = -1

    def tell(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // max(total, 1)
        if stream is not None and percent != shown:
            shown = percent
            print(f"\r{doing}: {percent} % of {total}", end="", file=stream, flush=True)
            _progress.is_shown = True

    try:
        yield tell
    finally:
        _progress.erase()


def say_json(data: object) -> None:
    """Print data as JSON."""
    _out(json.dumps(data, indent=2) + "\n")  # which escapes all that could do harm


def write(data: bytes) -> None:
    """Write bytes as they are; on a terminal with a newline after them."""
    _out(data)
    if sys.stdout is not None and sys.stdout.isatty():
        _out(b"\n")


def flush() -> None:
    """Hand on what was printed; before a question, so that nobody answers what was not shown.

    Raises:
        BrokenPipeError: its reader has gone.
        UnwrittenError: it could not be written, now or before.
    """
    with _remembering():
        if sys.stdout is not None:
            sys.stdout.flush()
    if _refused:
        raise UnwrittenError(*_refused[0].args)
    if sys.stderr is not None:
        with suppress(OSError):  # nobody can be told
            sys.stderr.flush()


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
        with suppress(OSError):  # nobody can be told
            print(_plain(line), file=sys.stderr)


def _plain(line: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in line)
