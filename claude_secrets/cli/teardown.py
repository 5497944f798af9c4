"""The end of a command: last steps after success, notes of a failure, and what is closed in every case.

The commands' modules register functions here, and `main` calls them.
"""

from collections.abc import Callable

from claude_secrets.errors import SecretsError

_opened: list[Callable[[], None]] = []
_noting: list[Callable[[SecretsError], None]] = []
_last: list[Callable[[], None]] = []


def close_at_end(close: Callable[[], None]) -> None:
    """Register `close` to be called when the command ends, in every case."""
    _opened.append(close)


def after_success(act: Callable[[], None]) -> None:
    """Register `act` to be called when the command has done everything else; not if it fails or is cancelled."""
    _last.append(act)


def run_after_success() -> None:
    """Call the functions registered for a command's success, in order."""
    while _last:
        _last.pop(0)()


def close_all() -> None:
    """Close everything, the newest first."""
    _last.clear()
    _noting.clear()
    while _opened:
        _opened.pop()()


def on_failure(note: Callable[[SecretsError], None]) -> None:
    """Register `note` to be called if the command fails, before anything is closed."""
    _noting.append(note)


def note_failure(error: SecretsError) -> None:
    """Call the functions registered for a failure with the error that ends the command."""
    while _noting:
        _noting.pop()(error)
