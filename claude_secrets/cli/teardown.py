"""The end of a command: what it does last if it succeeds, who notes its failure, and what it closes however it ends.

`main` calls each; the commands' modules say what is to be done.
"""

from collections.abc import Callable

from claude_secrets.errors import SecretsError

_opened: list[Callable[[], None]] = []
_noting: list[Callable[[SecretsError], None]] = []
_last: list[Callable[[], None]] = []


def close_at_end(close: Callable[[], None]) -> None:
    """Have `close` called when the command ends, however it does."""
    _opened.append(close)


def after_success(act: Callable[[], None]) -> None:
    """Have `act` called once the command has done everything else: not if it fails or is cancelled."""
    _last.append(act)


def run_after_success() -> None:
    """Do what was left for the end of a command that succeeded, in order."""
    while _last:
        _last.pop(0)()


def close_all() -> None:
    """Close everything, the newest first."""
    _last.clear()
    _noting.clear()
    while _opened:
        _opened.pop()()


def on_failure(note: Callable[[SecretsError], None]) -> None:
    """Have `note` called if the command fails, before anything is closed."""
    _noting.append(note)


def note_failure(error: SecretsError) -> None:
    """Note the error that ends the command."""
    while _noting:
        _noting.pop()(error)
