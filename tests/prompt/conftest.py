"""Fixtures for the tests of prompts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from claude_secrets.prompt.page import InputPage
from tests.support.machine import DEADLINE
from tests.support.page_client import RecordingStore, Serve


@pytest.fixture
def kept() -> RecordingStore:
    """A stand-in for the store that records the values entered on a page."""
    return RecordingStore()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a page. The page ends with the test."""
    pages: list[InputPage] = []

    def start(page: InputPage) -> InputPage:
        page.start()
        pages.append(page)
        return page

    yield start
    for page in pages:
        page.close()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The browsers and dialogs that the test started. All of them end with the test."""
    processes: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def remember(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = real(*arguments, **options)
        if options.get("start_new_session"):
            processes.append(process)
        return process

    monkeypatch.setattr(subprocess, "Popen", remember)
    yield processes
    for process in processes:
        if process.poll() is None:
            if sys.platform != "win32":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait(DEADLINE)
