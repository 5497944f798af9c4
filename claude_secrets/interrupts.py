"""Ctrl-C: from the first line of ours to the last it ends the program with code 130, and prints nothing.

Always: only a running command is interrupted by an exception, so that it can clean up, and cleaning up is not
interrupted; otherwise the process ends at once. A process that was started with SIGINT ignored goes on ignoring it.
"""

# What else is needed would be loaded before SIGINT is taken: `typing`, and `signal`, which is this one and enums.
import _signal  # type: ignore[import-not-found]
import os
import sys

from claude_secrets.exit_codes import INTERRUPTED


def begin() -> None:
    """Take SIGINT from Python, whose exception in the middle of an import would show where it struck."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _leave)
        sys.unraisablehook = _leave_from_callback


def let_clean_up() -> None:
    """Let SIGINT raise `KeyboardInterrupt` from now on, unless one is being handled already."""
    if _signal.getsignal(_signal.SIGINT) is _leave:
        _signal.signal(_signal.SIGINT, _raise)


def _leave(_number: int, _frame: object) -> None:
    os._exit(INTERRUPTED)


def _raise(_number: int, _frame: object) -> None:
    handled = sys.exc_info()[1]
    while handled is not None:
        if isinstance(handled, KeyboardInterrupt):  # what cleans up after it goes on
            return
        handled = handled.__context__
    raise KeyboardInterrupt


def _leave_from_callback(lost: "sys.UnraisableHookArgs") -> None:
    """End where Python would print the exception and go on, as in what it calls when an object goes."""
    if lost.exc_type is KeyboardInterrupt:
        os._exit(INTERRUPTED)
    sys.__unraisablehook__(lost)
