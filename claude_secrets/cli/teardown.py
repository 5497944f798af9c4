"""Runs functions when a command ends: after success, after a failure, and in every case.

The commands' modules register the functions, and `main` calls them.
"""

from collections.abc import Callable

from claude_secrets.errors import SecretsError

_opened: list[Callable[[], None]] = []
_noting: list[Callable[[SecretsError], None]] = []
_last: list[Callable[[], None]] = []


def close_at_end(close: Callable[[], None]) -> None:
    """Register `close` to be called when the command ends, whether or not it succeeds."""
    _opened.append(close)


def after_success(act: Callable[[], None]) -> None:
    """Register `act` to be called as a last step of the command.

    `act` is not called if the command fails or is cancelled.
    """
    _last.append(act)


def run_after_success() -> None:
    """Call the functions that `after_success` registered, in the order of registration."""
    while _last:
        _last.pop(0)()


def close_all() -> None:
    """Call the functions that `close_at_end` registered, the newest first."""
    _last.clear()
    _noting.clear()
    while _opened:
        _opened.pop()()


def on_failure(note: Callable[[SecretsError], None]) -> None:
    """Register `note` to be called if the command fails, before anything is closed."""
    _noting.append(note)


def note_failure(error: SecretsError) -> None:
    """Call the functions that `on_failure` registered with the error that ends the command."""
    while _noting:
        _noting.pop()(error)
