"""Runs the gate, SQLite and the cryptography on one thread.

Always: the worker is a daemon thread, so that a keyring that hangs cannot keep the process alive.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_T = TypeVar("_T")


class Worker:
    """Runs functions on one thread, one after the other."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="gate", daemon=True).start()

    def submit(self, function: Callable[[], _T]) -> "Future[_T]":
        """Run `function` on the worker's thread, and return its future. This may be called from any thread."""
        future: Future[_T] = Future()

        def task() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:  # noqa: BLE001  raised where the result is awaited
                    future.set_exception(error)

        self._tasks.put(task)
        return future

    async def run(self, function: Callable[[], _T]) -> _T:
        """Run `function` on the worker's thread and wait for its result."""
        return await asyncio.wrap_future(self.submit(function))

    def _work(self) -> None:
        while True:
            self._tasks.get()()
