"""The end of a command: what it does last if it succeeds, who notes its failure, and what it closes however it ends.

`main` calls each; the commands' modules say what is to be done.
"""

from collections.abc import Callable

from claude_secrets.errors import SecretsError

_opened: list[Callable[[], None]] = []
_noting: list[Callable[[SecretsError], None]] = []
_last: list[Callable[[], None]] = []


def at_end(close: Callable[[], None]) -> None:
    """Have `close` called when the command ends, however it does."""
    _opened.append(close)


def at_last(act: Callable[[], None]) -> None:
    """Have `act` called once the command has done everything else: not if it fails or is cancelled."""
    _last.append(act)


def finish() -> None:
    """Do what was left for the end of a command that succeeded, in order."""
    while _last:
        _last.pop(0)()


def close_all() -> None:
    """Close everything, the newest first."""
    _last.clear()
    _noting.clear()
    while _opened:
        _opened.pop()()


def at_failure(note: Callable[[SecretsError], None]) -> None:
    """Have `note` called if the command fails, before anything is closed."""
    _noting.append(note)


def failed(error: SecretsError) -> None:
    """Note the error that ends the command."""
    while _noting:
        _noting.pop()(error)
