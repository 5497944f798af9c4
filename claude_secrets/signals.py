"""Handle signals for a while, so that work can be finished before they take effect.

Always: a signal that was ignored when this process started stays ignored, except SIGCHLD inside the block.
"""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Self


class Signals:
    """Handles signals during a `with` block; afterwards they have their former handlers.

    `descriptor` becomes readable when a signal comes.
    """

    def __init__(self) -> None:
        self.descriptor, self._wakes = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._wakes, False)
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        # If SIGCHLD stays ignored from our start, the system discards the exit status of the program.
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]  # it comes from signal.signal
        os.close(self.descriptor)
        os.close(self._wakes)

    def forward(self, to: Callable[[int], object], numbers: Iterable[int]) -> None:
        """Forward signals by `to`. Its errors for a process that has ended or changed its user are ignored."""

        def hand_on(number: int, _frame: object) -> None:
            with suppress(ProcessLookupError, PermissionError):
                to(number)

        for number in numbers:
            self._set(number, hand_on)

    def ignore(self, *numbers: int) -> None:
        """Ignore signals in this process; a program that it starts does not inherit that."""
        for number in numbers:
            self._set(number, lambda *_: None)

    def clear(self) -> None:
        """Empty `descriptor`, so that it is readable again only after the next signal."""
        with suppress(BlockingIOError):
            while os.read(self.descriptor, 512):
                pass

    def _set(self, number: int, handler: Callable[..., object]) -> None:
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` relies on it
            self._before.setdefault(number, signal.signal(number, handler))
