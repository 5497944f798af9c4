"""What happens when a command ends: its failure is noted, and what it opened is closed.

`main` calls both; the commands' modules say what is to be done.
"""

from collections.abc import Callable

from claude_secrets.errors import SecretsError

_opened: list[Callable[[], None]] = []
_noting: list[Callable[[SecretsError], None]] = []


def at_end(close: Callable[[], None]) -> None:
    """Have `close` called when the command ends, however it does."""
    _opened.append(close)


def close_all() -> None:
    """Close everything, the newest first."""
    while _opened:
        _opened.pop()()


def at_failure(note: Callable[[SecretsError], None]) -> None:
    """Have `note` called if the command fails, before anything is closed."""
    _noting.append(note)


def failed(error: SecretsError) -> None:
    """Note the error that ends the command."""
    while _noting:
        _noting.pop()(error)
