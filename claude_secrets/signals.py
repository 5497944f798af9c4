"""Signals taken over for a while, so that something can be finished before they do what they do.

Always: what was ignored at our start stays ignored.
"""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Self


class Signals:
    """Takes signals over for the length of a `with` block; afterwards they do what they did before.

    `descriptor` can be read when a signal came.
    """

    def __init__(self) -> None:
        self.descriptor, self._wakes = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._wakes, False)
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        # Where it was ignored at our start, the system would throw away how the program ended.
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]  # it comes from signal.signal
        os.close(self.descriptor)
        os.close(self._wakes)

    def forward(self, to: Callable[[int], object], numbers: Iterable[int]) -> None:
        """Hand signals on, as long as there is somebody to take them."""

        def hand_on(number: int, _frame: object) -> None:
            with suppress(ProcessLookupError, PermissionError):
                to(number)

        for number in numbers:
            self._set(number, hand_on)

    def ignore(self, *numbers: int) -> None:
        """Let signals pass by; the program does not inherit that."""
        for number in numbers:
            self._set(number, lambda *_: None)

    def clear(self) -> None:
        """Take note that signals came."""
        with suppress(BlockingIOError):
            while os.read(self.descriptor, 512):
                pass

    def _set(self, number: int, handler: Callable[..., object]) -> None:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` wants it
            self._before.setdefault(number, signal.signal(number, handler))
