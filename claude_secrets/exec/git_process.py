"""Runs git, and reads its output as it arrives.

Always: if git produces no output within the time limit, git and all processes that it started are killed.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import IO, Final, Self

from claude_secrets.errors import CallerError, Code

SECONDS: float = 60.0
"""How long git may stay silent while we wait for it."""

_TICK: Final = 0.1
_PIECE: Final = 1 << 20


class SilentError(CallerError):
    """git did not answer in time."""

    def __init__(self) -> None:
        super().__init__(Code.INVALID_ARGUMENTS, f"git did not answer within {SECONDS:g} seconds.")


class GitProcess:
    """A running git process that reads lines from standard input.

    Text that git writes to standard error is discarded. `has_complained` returns whether there was any.
    """

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603  git as it was found on a cleaned PATH
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # a process group, to kill all processes that git started
        )
        self._waiting: float | None = None
        self._is_silent = False
        self._over = threading.Event()
        self._has_complained = False
        self._complaints = threading.Thread(target=self._hear_complaints, daemon=True)
        self._complaints.start()
        threading.Thread(target=self._watch, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._kill()
        self.end()

    def ask(self, line: str) -> bytes:
        """Write a line, and return the first line of git's answer, or b"" if git has ended. Raises `SilentError`."""
        with suppress(BrokenPipeError):
            self._input.write(f"{line}\n".encode("ascii"))
            self._input.flush()
        self._waiting = monotonic()
        return self._heard(self._output.readline())

    def read(self, size: int) -> bytes:
        """Read `size` bytes of git's output, or fewer at the end of the output. Raises `SilentError`."""
        self._waiting = monotonic()
        return self._heard(self._output.read(size))

    def pieces(self) -> Iterator[bytes]:
        """Yield all of git's output as it arrives. Raises `SilentError`."""
        while True:
            self._waiting = monotonic()
            piece = self._heard(os.read(self._output.fileno(), _PIECE))
            if not piece:
                return
            yield piece

    def end(self) -> int:
        """Close git's input and output, wait until git has ended, and return its exit code."""
        with suppress(BrokenPipeError):
            self._input.close()
        self._output.close()
        self._waiting = monotonic()
        code = self._process.wait()
        self._over.set()
        self._complaints.join(SECONDS)
        return code

    @property
    def has_complained(self) -> bool:
        """Whether git wrote anything to standard error. Read this only after `end`."""
        return self._has_complained or self._complaints.is_alive()

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None  # noqa: S101  it is a pipe
        return self._process.stdin

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101  it is a pipe
        return self._process.stdout

    def _heard(self, said: bytes) -> bytes:
        self._waiting = None
        if self._is_silent:
            raise SilentError
        return said

    def _hear_complaints(self) -> None:
        assert self._process.stderr is not None  # noqa: S101  it is a pipe
        with self._process.stderr as complaints:
            while complaints.read1(_PIECE):  # type: ignore[attr-defined]
                self._has_complained = True

    def _watch(self) -> None:
        while not self._over.wait(_TICK):
            since = self._waiting
            if since is not None and monotonic() - since > SECONDS:
                self._is_silent = True
                self._kill()

    def _kill(self) -> None:
        if self._process.poll() is not None:
            return
        with suppress(ProcessLookupError):  # it has just ended
            if sys.platform != "win32":
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
