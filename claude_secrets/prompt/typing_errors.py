"""The errors and times that are the same for a line typed on every system's terminal.

Always: no error contains what was typed.
"""

from typing import Final

from claude_secrets.errors import CallerError, Code, InputError

PASTE_GAP: Final = 0.05
"""If more text arrives within this many seconds after a line, it was pasted, not typed."""

PASTE_SECONDS: Final = 5.0
"""The maximum number of seconds to wait for the end of a paste or of a key that is held down."""


def no_terminal() -> InputError:
    """Return the error for a process that has no terminal."""
    return InputError(Code.NO_INPUT_CHANNEL, "There is no terminal on which to ask.")


def several_lines(other_way: str | None) -> CallerError:
    """Return the error for text after the first line. `other_way` is its hint."""
    return CallerError(Code.INVALID_VALUE, "More than one line was entered; nothing was changed.", other_way)
