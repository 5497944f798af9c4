"""Reads one line that is typed on a Windows console, one UTF-16 unit at a time.

Always: a hidden line is never shown. A line is never shortened or split without an error. Text that was typed before
the question or pasted after the answer is discarded, also if the question ends with an error. This module uses no
function of Windows itself: the keyboard is an argument.

The behavior of the keyboard is documented at
https://learn.microsoft.com/cpp/c-runtime-library/reference/getch-getwch and
https://learn.microsoft.com/cpp/c-runtime-library/reference/ungetch-ungetwch-ungetch-nolock-ungetwch-nolock
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from claude_secrets.errors import CallerError, Cancelled, Code
from claude_secrets.prompt.typing_errors import PASTE_GAP, PASTE_SECONDS, no_terminal, several_lines

_POLL: Final = 0.005
"""Seconds between two checks whether more text has arrived."""

_NO_CONSOLE: Final = "\uffff"
"""The C library returns this unit (WEOF) if the process has no console."""

_KEY_PREFIXES: Final = ("\x00", "\xe0")
"""The C library returns one of these units before the code of a function or arrow key. The second one is also "à"."""

_ENTER: Final = ("\r", "\n")
_BACKSPACE: Final = ("\b", "\x7f")
_CTRL_C: Final = "\x03"
_CTRL_Z: Final = "\x1a"


class Keyboard(Protocol):
    """The functions of the module `msvcrt` that read from and write to the console."""

    def getwch(self) -> str:
        """Wait for a key, and return its UTF-16 unit without showing it."""

    def kbhit(self) -> bool:
        """Return whether `getwch` has a key to return."""

    def ungetwch(self, unit: str, /) -> None:
        """Make `getwch` return `unit` next. Raise `OSError` if it already has such a unit."""

    def putwch(self, unit: str, /) -> None:
        """Show one UTF-16 unit."""


class Clock(NamedTuple):
    """The time in seconds, and how to wait."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


_CLOCK: Final = Clock()


def ask(keyboard: Keyboard, prompt: str, *, hidden: bool, other_way: str | None = None, clock: Clock = _CLOCK) -> str:
    """Show `prompt` and return the line that is typed next. The line may be empty.

    `other_way` is the error's hint if more than one line is entered.

    Raises:
        Cancelled: Ctrl-C or Ctrl-Z.
        InputError: NO_INPUT_CHANNEL if there is no console.
        CallerError: INVALID_VALUE for more than one line, or if half of a character is missing.
    """
    try:
        _drop(keyboard, clock, gap=0)
        _show(keyboard, prompt)
        more = False
        try:
            units = _line(keyboard, shown=not hidden)
        finally:
            more = _drop(keyboard, clock, gap=PASTE_GAP)
            _show(keyboard, "\r\n")
    except KeyboardInterrupt:  # Ctrl-C was pressed while nothing was read
        raise Cancelled from None
    if more:
        raise several_lines(other_way)
    return _joined(units)


def _line(keyboard: Keyboard, *, shown: bool) -> list[str]:
    """Return the units up to Enter. If they are `shown`, each unit takes one place, so that Backspace can erase it."""
    units: list[str] = []
    while (unit := _next(keyboard)) not in _ENTER:
        if unit in (_CTRL_C, _CTRL_Z):
            raise Cancelled
        if unit in _BACKSPACE:
            erased = _erase_last(units)
            if shown:
                _show(keyboard, "\b \b" * erased)
        elif unit:
            units.append(unit)
            if shown:
                keyboard.putwch(unit if unit.isprintable() else "?")
    return units


def _next(keyboard: Keyboard) -> str:
    """Return the next unit, or an empty text for a function or arrow key.

    Raises:
        InputError: NO_INPUT_CHANNEL if there is no console.
    """
    unit = keyboard.getwch()
    if unit == _NO_CONSOLE:
        raise no_terminal()
    if unit in _KEY_PREFIXES and _holds_a_unit(keyboard):
        keyboard.getwch()
        return ""
    return unit


def _holds_a_unit(keyboard: Keyboard) -> bool:
    """Return whether the C library holds the second half of a key. If it does not, the unit before was a character.

    The C library can hold only one unit. `kbhit` does not report this unit.
    """
    try:
        keyboard.ungetwch(" ")
    except OSError:
        return True
    keyboard.getwch()
    return False


def _drop(keyboard: Keyboard, clock: Clock, *, gap: float) -> bool:
    """Discard text until none arrives for `gap` seconds. Return whether there was such text.

    A line feed at the beginning belongs to the line before, because Windows ends a line with two characters.
    """
    first, more = True, False
    ends = clock.now() + PASTE_SECONDS
    while clock.now() < ends and _arrives(keyboard, clock, gap):
        unit = _next(keyboard)
        if unit and not (first and unit == "\n"):
            more = True
        first = False
    return more


def _arrives(keyboard: Keyboard, clock: Clock, gap: float) -> bool:
    ends = clock.now() + gap
    while not (there := keyboard.kbhit()) and clock.now() < ends:
        clock.sleep(_POLL)
    return there


def _erase_last(units: list[str]) -> int:
    """Remove the last character, and return how many units it had."""
    if not units:
        return 0
    second = units.pop()
    if units and "\udc00" <= second <= "\udfff" and "\ud800" <= units[-1] <= "\udbff":
        units.pop()
        return 2
    return 1


def _show(keyboard: Keyboard, text: str) -> None:
    data = text.encode("utf-16-le", "surrogatepass")
    for start in range(0, len(data), 2):
        keyboard.putwch(data[start : start + 2].decode("utf-16-le", "surrogatepass"))


def _joined(units: list[str]) -> str:
    try:
        return "".join(units).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        # From None: the exception contains the input.
        raise CallerError(Code.INVALID_VALUE, "The input is not valid Unicode; nothing was changed.") from None
