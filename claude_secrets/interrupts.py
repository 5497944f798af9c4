"""Ctrl-C: it ends the program with code 130 and prints nothing, from the first line of this package to the last.

Always: only a running command gets an exception, so that it can clean up. The cleanup is not interrupted. At other
times the process ends at once. A process that was started with SIGINT ignored keeps ignoring it.
"""

# Few imports, because SIGINT is still Python's while they load: not `typing`, nor `signal`, which wraps `_signal`.
import _signal  # type: ignore[import-not-found]
import os
import sys

from claude_secrets.exit_codes import INTERRUPTED


def begin() -> None:
    """Replace Python's handler of SIGINT, which would print a traceback if it interrupts an import."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _leave)
        sys.unraisablehook = _leave_from_callback


def let_clean_up() -> None:
    """From now on, raise `KeyboardInterrupt` at a SIGINT, except while an earlier SIGINT is being handled."""
    if _signal.getsignal(_signal.SIGINT) is _leave:
        _signal.signal(_signal.SIGINT, _raise)


def _leave(_number: int, _frame: object) -> None:
    os._exit(INTERRUPTED)


def _raise(_number: int, _frame: object) -> None:
    handled = sys.exc_info()[1]
    while handled is not None:
        if isinstance(handled, KeyboardInterrupt):  # do not interrupt its cleanup
            return
        handled = handled.__context__
    raise KeyboardInterrupt


def _leave_from_callback(lost: "sys.UnraisableHookArgs") -> None:
    """End the process if Python would print the interrupt and go on, as in a finalizer."""
    if lost.exc_type is KeyboardInterrupt:
        os._exit(INTERRUPTED)
    sys.__unraisablehook__(lost)
