"""Make Ctrl-C end the program with exit code 130 and without a traceback, whenever the person presses it.

Always: a SIGINT raises an exception only in a running command, so that the command can clean up. A second SIGINT does
not interrupt the cleanup. While no command is running, a SIGINT ends the process at once. A process that was started
with SIGINT ignored keeps ignoring SIGINT.
"""

# Few imports, because Python still handles SIGINT while they load. `typing` is therefore not imported, and `_signal`
# replaces `signal`, which only wraps it.
import _signal  # type: ignore[import-not-found]
import os
import sys

from claude_secrets.exit_codes import INTERRUPTED


def begin() -> None:
    """Replace Python's SIGINT handler, because it prints a traceback if it interrupts an import."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _leave)
        sys.unraisablehook = _leave_from_callback


def let_clean_up() -> None:
    """From now on, raise `KeyboardInterrupt` at a SIGINT, unless a `KeyboardInterrupt` is already being handled."""
    if _signal.getsignal(_signal.SIGINT) is _leave:
        _signal.signal(_signal.SIGINT, _raise)


def _leave(_number: int, _frame: object) -> None:
    os._exit(INTERRUPTED)


def _raise(_number: int, _frame: object) -> None:
    handled = sys.exc_info()[1]
    while handled is not None:
        if isinstance(handled, KeyboardInterrupt):  # do not interrupt the command's cleanup
            return
        handled = handled.__context__
    raise KeyboardInterrupt


def _leave_from_callback(lost: "sys.UnraisableHookArgs") -> None:
    """End the process if Python cannot raise a `KeyboardInterrupt`, as in a finalizer, and would only print it."""
    if lost.exc_type is KeyboardInterrupt:
        os._exit(INTERRUPTED)
    sys.__unraisablehook__(lost)
