"""Asks the person on the terminal: for a hidden value, or a yes-or-no question.

Always: a question uses the terminal itself, not standard input or output. The terminal's settings are restored, even if
a signal ends the question. A value is never shown, and never shortened or split without an error. Text that was typed
before a question or pasted after the answer is discarded: it answers no question and reaches no shell.
"""

import sys

from claude_secrets.errors import Code, InputError
from claude_secrets.untrusted_text import plain

if sys.platform == "win32":
    from claude_secrets.prompt.terminal_windows import ask, is_there
else:
    from claude_secrets.prompt.terminal_posix import ask, is_there

__all__ = ["ask", "confirm", "is_there", "read_hidden", "read_line"]


def read_hidden(prompt: str, *, other_way: str | None = None) -> str:
    """Show `prompt` and return one line that is typed without echo.

    `other_way` is the error's hint if the person enters more than one line or a line that is too long.

    Raises:
        Cancelled: Ctrl-C, or Ctrl-D (on Windows Ctrl-Z).
        InputError: NO_INPUT_CHANNEL without a terminal; CANCELLED on an empty line.
        CallerError: INVALID_VALUE for more than one line, more than a terminal can pass on, or invalid Unicode.
    """
    line = ask(prompt, hidden=True, other_way=other_way)
    if not line:
        raise InputError(Code.CANCELLED, "The input was empty; nothing was changed.")
    return line


def read_line(prompt: str) -> str:
    """Show `prompt` and return one line that is typed with echo, without blanks around it. The line may be empty.

    Raises:
        Cancelled: Ctrl-C, or Ctrl-D (on Windows Ctrl-Z).
        InputError: NO_INPUT_CHANNEL without a terminal.
        CallerError: INVALID_VALUE for more than one line.
    """
    return ask(f"{plain(prompt)} ", hidden=False).strip()


def confirm(question: str, *, default: bool = False) -> bool:
    """Ask `question`; return True for a typed "y" or "yes". Text typed before the question is ignored.

    An empty line is the answer `default`. Any other text is a refusal.

    Raises:
        Cancelled: Ctrl-C, or Ctrl-D (on Windows Ctrl-Z).
        InputError: NO_INPUT_CHANNEL without a terminal.
        CallerError: INVALID_VALUE for more than one line.
    """
    typed = ask(f"{plain(question)} [{'Y/n' if default else 'y/N'}] ", hidden=False).strip().lower()
    return typed in {"y", "yes"} or (default and not typed)
