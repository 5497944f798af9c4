"""Asks on the terminal of this process on Linux, macOS and other POSIX systems.

Always: a question uses the terminal itself, not standard input or output. The terminal's settings are restored, even if
a signal ends the question.
"""

import errno
import os
import select
import signal
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from claude_secrets.errors import CallerError, Cancelled, Code
from claude_secrets.prompt.typing_errors import PASTE_GAP, PASTE_SECONDS, no_terminal, several_lines
from claude_secrets.signals import Signals

assert sys.platform != "win32"  # noqa: S101  it tells mypy that the functions below exist only on POSIX systems

_LINE_LIMIT: Final = 4095
"""The maximum length of a line in bytes on a Linux terminal. The terminal silently drops any further bytes."""

_SIGNALS: Final = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGTSTP,
    signal.SIGCONT,  # the shell changed the terminal's settings while we were stopped
)


def is_there() -> bool:
    """Return whether this process has a terminal on which it can ask the person."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def ask(prompt: str, *, hidden: bool, other_way: str | None = None) -> str:
    """Show `prompt` and return the line that is typed next. The line may be empty.

    `other_way` is the error's hint if the person enters more than one line or a line that is too long.

    Raises:
        Cancelled: Ctrl-C or Ctrl-D.
        InputError: NO_INPUT_CHANNEL without a terminal.
        CallerError: INVALID_VALUE for more than one line, more than a terminal can pass on, or bytes that are not
            UTF-8.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            typed = None
            while typed is None:
                typed = _typed(terminal, prompt, hidden=hidden, other_way=other_way)
        finally:
            os.close(terminal)
    except (OSError, termios.error):
        raise no_terminal() from None
    try:
        return typed.decode("utf-8")
    except UnicodeDecodeError:
        # From None: the exception contains the input.
        raise CallerError(Code.INVALID_VALUE, "The input is not valid UTF-8; nothing was changed.") from None


def _typed(terminal: int, prompt: str, *, hidden: bool, other_way: str | None) -> bytes | None:
    """Return the typed line, or None if the process was suspended and must ask again."""
    caught: list[int] = []
    line, more = b"", False
    with Signals() as signals:
        signals.forward(caught.append, _SIGNALS)
        try:
            with _echo(terminal, shown=not hidden):
                os.write(terminal, prompt.encode("utf-8", "replace"))
                with _never_waiting(terminal):
                    line = _line(terminal, signals.descriptor, caught)
                    more = line.endswith(b"\n") and _drop_more(terminal)
                if hidden or not line.endswith(b"\n"):
                    os.write(terminal, b"\n")
        except (OSError, termios.error):
            if not caught:  # after a signal: the terminal hung up or we are in the background
                raise
    if caught:
        _obey(caught)
        return None
    if not line.endswith(b"\n"):  # Ctrl-D
        raise Cancelled
    _require_whole(line, other_way, more=more)
    return line.removesuffix(b"\n")


def _obey(caught: Sequence[int]) -> None:
    """Let the caught signals have their usual effect, after the terminal's settings were restored."""
    if signal.SIGINT in caught:
        raise Cancelled
    for number in caught:
        if number != signal.SIGCONT:
            os.kill(os.getpid(), number)


@contextmanager
def _echo(terminal: int, *, shown: bool) -> Iterator[None]:
    before = termios.tcgetattr(terminal)
    now = [*before]
    now[0] |= termios.ICRNL  # set three flags that an earlier program may have left changed
    now[3] |= termios.ICANON | termios.ISIG
    now[3] = now[3] | termios.ECHO if shown else now[3] & ~termios.ECHO
    # TCSAFLUSH discards pending input, here and in `_put_back`: text before the question must not become an answer,
    # and text after the answer must not become a command.
    termios.tcsetattr(terminal, termios.TCSAFLUSH, now)
    try:
        yield
    finally:
        _put_back(terminal, before)


def _put_back(terminal: int, settings: list[int | list[bytes | int]]) -> None:
    """Restore the settings. Do nothing if the shell has the terminal again, because it uses its own settings."""
    while os.tcgetpgrp(terminal) == os.getpgrp():
        try:
            termios.tcsetattr(terminal, termios.TCSAFLUSH, settings)
        except termios.error as error:
            if error.args[0] != errno.EINTR:
                raise
        else:
            break


@contextmanager
def _never_waiting(terminal: int) -> Iterator[None]:
    """Make reads fail instead of wait: a key such as Ctrl-C can discard the input before it is read."""
    os.set_blocking(terminal, False)
    try:
        yield
    finally:
        os.set_blocking(terminal, True)


def _line(terminal: int, wakes: int, caught: Sequence[int]) -> bytes:
    """Return one line with its newline. If Ctrl-D or a signal comes first, the result has no newline."""
    while not caught:
        ready = select.select([terminal, wakes], [], [])[0]
        if terminal in ready and not caught:  # a read in the background could suspend the process
            with suppress(BlockingIOError):
                return os.read(terminal, 65536)
    return b""


def _drop_more(terminal: int) -> bool:
    """Discard text that was pasted after the line. Return whether there was such text.

    Otherwise the text would answer the next question or run in a shell. ICANON is switched off, because with ICANON
    the terminal does not deliver a last line without a newline.
    """
    now = termios.tcgetattr(terminal)
    now[3] &= ~termios.ICANON
    now[6][termios.VMIN], now[6][termios.VTIME] = 1, 0
    termios.tcsetattr(terminal, termios.TCSANOW, now)
    more, ends = False, time.monotonic() + PASTE_SECONDS
    while time.monotonic() < ends and select.select([terminal], [], [], PASTE_GAP)[0]:
        more = True
        if not os.read(terminal, 65536):  # the terminal hung up
            break
    return more


def _require_whole(line: bytes, other_way: str | None, *, more: bool) -> None:
    if more:
        raise several_lines(other_way)
    if len(line) > _LINE_LIMIT:
        raise CallerError(
            Code.INVALID_VALUE,
            f"A terminal accepts at most {_LINE_LIMIT} bytes on one line; nothing was changed.",
            other_way,
        )
