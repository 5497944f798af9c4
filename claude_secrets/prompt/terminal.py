"""Asks the person at their terminal: for a value that is not shown, or a yes-or-no question.

Always: the terminal itself is used, not standard input or output. Its settings are restored, even if a signal ends the
question. No value is shown, shortened or split unnoticed. Text that was typed before a question or pasted after its
line answers no question and reaches no shell.
"""

import os
import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from claude_secrets.errors import CallerError, Cancelled, Code, InputError
from claude_secrets.untrusted_text import plain

_LINE_LIMIT: Final = 4095
"""Bytes of a line that Linux terminals pass on. Any further bytes are lost without a sign."""

_PASTE_GAP: Final = 0.05
"""Seconds. A further line that comes within this time was pasted, not typed."""

_PASTE_SECONDS: Final = 5.0
"""Seconds to wait for the end of a paste, or of a key that is held down, at most."""


def is_there() -> bool:
    """Whether there is a terminal on which to ask."""
    if sys.platform == "win32":
        return sys.stdin is not None and sys.stdin.isatty()
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def read_hidden(prompt: str, *, other_way: str | None = None) -> str:
    """Return one line typed without echo after `prompt`.

    `other_way` is the hint for a value that does not fit on one line.

    Raises:
        Cancelled: Ctrl-C or Ctrl-D.
        InputError: NO_INPUT_CHANNEL without a terminal; CANCELLED on an empty line.
        CallerError: INVALID_VALUE for more than one line, more than a terminal can pass on, or bytes that are not
            UTF-8.
    """
    line = _ask(prompt, hidden=True, other_way=other_way)
    if not line:
        raise InputError(Code.CANCELLED, "The input was empty; nothing was changed.")
    return line


def confirm(question: str) -> bool:
    """Ask `question`; return True only for a typed "y" or "yes". Text typed before the question does not count.

    Raises:
        Cancelled: Ctrl-C or Ctrl-D.
        InputError: NO_INPUT_CHANNEL without a terminal.
        CallerError: INVALID_VALUE for more than one line.
    """
    return _ask(f"{plain(question)} [y/N] ", hidden=False).strip().lower() in {"y", "yes"}


if sys.platform == "win32":
    import getpass

    def _ask(prompt: str, *, hidden: bool, other_way: str | None = None) -> str:  # noqa: ARG001  lines have no limit
        # Without a console getpass would read an ordinary stream, visibly.
        if sys.stdin is None or not sys.stdin.isatty():
            raise _no_terminal()
        try:
            return getpass.getpass(prompt) if hidden else input(prompt)
        except (KeyboardInterrupt, EOFError):
            raise Cancelled from None

else:
    import errno
    import signal
    import termios

    from claude_secrets.signals import Signals

    _SIGNALS: Final = (
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGTSTP,
        signal.SIGCONT,  # the shell changed the terminal's settings while we were stopped
    )

    def _ask(prompt: str, *, hidden: bool, other_way: str | None = None) -> str:
        try:
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            try:
                typed = None
                while typed is None:
                    typed = _typed(terminal, prompt, hidden=hidden, other_way=other_way)
            finally:
                os.close(terminal)
        except (OSError, termios.error):
            raise _no_terminal() from None
        try:
            return typed.decode("utf-8")
        except UnicodeDecodeError:
            # From None: the exception carries the input.
            raise CallerError(Code.INVALID_VALUE, "The input is not valid UTF-8; nothing was changed.") from None

    def _typed(terminal: int, prompt: str, *, hidden: bool, other_way: str | None) -> bytes | None:
        """Return the typed line; None if we were stopped in between and have to ask again."""
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
                if not caught:  # with a signal, the terminal hung up or we are in the background
                    raise
        if caught:
            _obey(caught)
            return None
        if not line.endswith(b"\n"):  # Ctrl-D
            raise Cancelled
        _require_whole(line, other_way, more=more)
        return line.removesuffix(b"\n")

    def _obey(caught: Sequence[int]) -> None:
        """Let the signals have their usual effect, now that the terminal's settings are restored."""
        if signal.SIGINT in caught:
            raise Cancelled
        for number in caught:
            if number != signal.SIGCONT:
                os.kill(os.getpid(), number)

    @contextmanager
    def _echo(terminal: int, *, shown: bool) -> Iterator[None]:
        before = termios.tcgetattr(terminal)
        now = [*before]
        now[0] |= termios.ICRNL  # these three flags: a program may have ended without restoring them
        now[3] |= termios.ICANON | termios.ISIG
        now[3] = now[3] | termios.ECHO if shown else now[3] & ~termios.ECHO
        # TCSAFLUSH drops pending input, both times: text before the question is no answer, text after it no command.
        termios.tcsetattr(terminal, termios.TCSAFLUSH, now)
        try:
            yield
        finally:
            _put_back(terminal, before)

    def _put_back(terminal: int, settings: list[int | list[bytes | int]]) -> None:
        """Restore the settings, unless the shell has the terminal again: it uses its own settings."""
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
        """Let a read fail instead of wait if a signal's key has discarded the pending input."""
        os.set_blocking(terminal, False)
        try:
            yield
        finally:
            os.set_blocking(terminal, True)

    def _line(terminal: int, wakes: int, caught: Sequence[int]) -> bytes:
        """Return one line with its newline; without a newline if Ctrl-D or a signal came first."""
        while not caught:
            ready = select.select([terminal, wakes], [], [])[0]
            if terminal in ready and not caught:  # in the background a read could stop us
                with suppress(BlockingIOError):
                    return os.read(terminal, 65536)
        return b""

    def _drop_more(terminal: int) -> bool:
        """Drop the text pasted after the line, and return whether there was any.

        It would answer the next question or run in a shell. The terminal holds back a last line without a newline until
        ICANON is switched off.
        """
        now = termios.tcgetattr(terminal)
        now[3] &= ~termios.ICANON
        now[6][termios.VMIN], now[6][termios.VTIME] = 1, 0
        termios.tcsetattr(terminal, termios.TCSANOW, now)
        more, ends = False, time.monotonic() + _PASTE_SECONDS
        while time.monotonic() < ends and select.select([terminal], [], [], _PASTE_GAP)[0]:
            more = True
            if not os.read(terminal, 65536):  # the terminal hung up
                break
        return more

    def _require_whole(line: bytes, other_way: str | None, *, more: bool) -> None:
        if more:
            raise CallerError(Code.INVALID_VALUE, "More than one line was entered; nothing was changed.", other_way)
        if len(line) > _LINE_LIMIT:
            raise CallerError(
                Code.INVALID_VALUE,
                f"A terminal accepts at most {_LINE_LIMIT} bytes on one line; nothing was changed.",
                other_way,
            )


def _no_terminal() -> InputError:
    return InputError(Code.NO_INPUT_CHANNEL, "There is no terminal on which to ask.")
