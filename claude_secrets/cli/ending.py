"""What a command has opened and closes when it ends. `main` closes it; the other commands' modules may import it."""

from collections.abc import Callable

_opened: list[Callable[[], None]] = []


def at_end(close: Callable[[], None]) -> None:
    """Have `close` called when the command ends, however it does."""
    _opened.append(close)


def close_all() -> None:
    """Close everything, the newest first."""
    while _opened:
        _opened.pop()()
