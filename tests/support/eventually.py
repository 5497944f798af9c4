"""Waiting for facts about other processes."""

import time
from collections.abc import Callable

import psutil


def lives(number: int) -> bool:
    """Whether a process exists and is more than a zombie, which only waits for its parent."""
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)
