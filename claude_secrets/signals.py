"""Handle signals temporarily, so that a program can finish its work before a signal takes effect.

Always: a signal that was ignored when this process started stays ignored. The exception is SIGCHLD, which is handled
during the `with` block, and which `keep_exit_codes` stops ignoring.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Self


def keep_exit_codes() -> None:
    """Stop ignoring SIGCHLD if it was ignored when this process started. Call this in the main thread.

    The system discards the exit codes of children while SIGCHLD is ignored, and `subprocess` then reports success for
    each child, for example for the program that deletes a key.
    """
    if sys.platform != "win32" and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


class Signals:
    """Handles signals of POSIX during a `with` block. After the block, the previous handlers are restored.

    `descriptor` becomes readable when a signal arrives.
    """

    def __init__(self) -> None:
        self.descriptor, self._wakes = os.pipe()
        if sys.platform != "win32":
            os.set_blocking(self.descriptor, False)
            os.set_blocking(self._wakes, False)
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        if sys.platform != "win32":
            # If SIGCHLD was ignored when this process started and stays ignored, the system discards the program's
            # exit status.
            self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]  # signal.signal returned `before`
        os.close(self.descriptor)
        os.close(self._wakes)

    def forward(self, to: Callable[[int], object], numbers: Iterable[int]) -> None:
        """Call `to` with the signal's number whenever one of the signals `numbers` arrives.

        Errors of `to` are ignored if they mean that the process has ended or changed its user.
        """

        def hand_on(number: int, _frame: object) -> None:
            with suppress(ProcessLookupError, PermissionError):
                to(number)

        for number in numbers:
            self._set(number, hand_on)

    def ignore(self, *numbers: int) -> None:
        """Ignore signals in this process, but not in the programs that this process starts."""
        for number in numbers:
            self._set(number, lambda *_: None)

    def clear(self) -> None:
        """Read everything from `descriptor`, so that it becomes readable again only at the next signal."""
        with suppress(BlockingIOError):
            while os.read(self.descriptor, 512):
                pass

    def _set(self, number: int, handler: Callable[..., object]) -> None:
        if signal.getsignal(number) is not signal.SIG_IGN:  # under `nohup`, a signal must stay ignored
            self._before.setdefault(number, signal.signal(number, handler))
