"""Asks the person at their terminal: a value without showing it, a question with yes or no.

Always: the terminal itself is used, not standard input or output, and it is left as it was found; no value is
shown, shortened or split unnoticed. Faces import it.
"""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from claude_secrets.errors import CallerError, Code, InputError
from claude_secrets.human.plain import plain
from claude_secrets.paths import command

_LINE_LIMIT = 4095
"""Bytes of a line that Linux' terminals pass on; what is typed beyond them is lost without a sign."""

_PASTE_GAP = 0.05
"""Seconds within which a further line was not typed, but pasted."""


def is_there() -> bool:
    """Whether there is a terminal to ask at."""
    if sys.platform == "win32":
        return sys.stdin is not None and sys.stdin.isatty()
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def read_hidden(prompt: str) -> str:
    """Return one line typed without echo after `prompt`.

    Raises:
        InputError: NO_INPUT_CHANNEL without a terminal; CANCELLED on Ctrl-C, Ctrl-D or an empty line.
        CallerError: INVALID_VALUE for more than one line, more than a terminal can pass on, or bytes that are not
            UTF-8.
    """
    try:
        line = _ask(prompt, hidden=True)
    except KeyboardInterrupt:
        raise InputError(Code.CANCELLED, "Cancelled; nothing was stored.") from None
    if not line:
        raise InputError(Code.CANCELLED, "The input was empty; nothing was stored.")
    return line


def confirm(question: str) -> bool:
    """Put `question`; True only for a typed "y" or "yes". What was typed before it was put does not count.

    Raises:
        InputError: NO_INPUT_CHANNEL without a terminal; CANCELLED on Ctrl-C.
    """
    try:
        return _ask(f"{plain(question)} [y/N] ", hidden=False).strip().lower() in {"y", "yes"}
    except KeyboardInterrupt:
        raise InputError(Code.CANCELLED, "Cancelled.") from None


if sys.platform == "win32":
    import getpass

    def _ask(prompt: str, *, hidden: bool) -> str:
        # getpass would read an ordinary stream, visibly, where there is no console.
        if sys.stdin is None or not sys.stdin.isatty():
            raise _no_terminal()
        return getpass.getpass(prompt) if hidden else input(prompt)

else:
    import termios

    def _ask(prompt: str, *, hidden: bool) -> str:
        try:
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            try:
                typed = _typed(terminal, prompt, hidden=hidden)
            finally:
                os.close(terminal)
        except (OSError, termios.error):
            raise _no_terminal() from None
        try:
            return typed.decode("utf-8")
        except UnicodeDecodeError:
            # From None: the exception carries what was typed.
            raise CallerError(Code.INVALID_VALUE, "What was typed is not valid UTF-8; nothing was stored.") from None

    def _typed(terminal: int, prompt: str, *, hidden: bool) -> bytes:
        with _echo(terminal, shown=not hidden):
            os.write(terminal, prompt.encode("utf-8", "replace"))
            try:
                line = _line(terminal)
            finally:
                if hidden:
                    os.write(terminal, b"\n")
            if hidden:
                _require_whole(line, terminal)
        return line

    @contextmanager
    def _echo(terminal: int, *, shown: bool) -> Iterator[None]:
        before = termios.tcgetattr(terminal)
        now = [*before]
        now[3] = now[3] | termios.ECHO if shown else now[3] & ~termios.ECHO
        # TCSAFLUSH, both times: what was typed before the question is no answer, what follows it no command.
        termios.tcsetattr(terminal, termios.TCSAFLUSH, now)
        try:
            yield
        finally:
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)

    def _line(terminal: int) -> bytes:
        """One line without its end; Ctrl-D ends it, too."""
        typed = b""
        while not typed.endswith(b"\n"):
            part = os.read(terminal, 65536)
            if not part:
                return typed
            typed += part
        return typed.removesuffix(b"\n")

    def _require_whole(line: bytes, terminal: int) -> None:
        hint = f"Pass it by standard input, for example from a file: {command()} set NAME <FILE"
        if select.select([terminal], [], [], _PASTE_GAP)[0]:
            raise CallerError(Code.INVALID_VALUE, "More than one line was entered; nothing was stored.", hint)
        if len(line) >= _LINE_LIMIT:
            raise CallerError(
                Code.INVALID_VALUE,
                f"A terminal passes on at most {_LINE_LIMIT} bytes of a line; nothing was stored.",
                hint,
            )


def _no_terminal() -> InputError:
    return InputError(Code.NO_INPUT_CHANNEL, "There is no terminal to ask at.")
