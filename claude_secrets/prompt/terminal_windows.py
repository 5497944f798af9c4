"""Asks on the console of this process on Windows. `console_line` has the rules for what is typed."""

import ctypes
import msvcrt
import sys

from claude_secrets.prompt import console_line
from claude_secrets.prompt.typing_errors import no_terminal

assert sys.platform == "win32"  # noqa: S101  it tells mypy that the functions below exist only on Windows


def is_there() -> bool:
    """Return whether standard input is a console.

    `isatty` is not enough, because on Windows it is also true for the device NUL.
    """
    if sys.stdin is None:
        return False
    try:
        handle = msvcrt.get_osfhandle(sys.stdin.fileno())
    except (OSError, ValueError):  # standard input was closed, or is not a file
        return False
    mode = ctypes.c_ulong()
    return bool(ctypes.windll.kernel32.GetConsoleMode(ctypes.c_void_p(handle), ctypes.byref(mode)))


def ask(prompt: str, *, hidden: bool, other_way: str | None = None) -> str:
    """Show `prompt` and return the typed line. Parameters and errors are those of `console_line.ask`.

    Raises:
        InputError: NO_INPUT_CHANNEL also if standard input is not a console.
    """
    if not is_there():
        raise no_terminal()
    return console_line.ask(msvcrt, prompt, hidden=hidden, other_way=other_way)
