"""One output stream of a program, which a filter changes on the way to our own output.

Always: no output is lost unless writing fails.
"""

import errno
import os
import select
import stat
import sys
import time
from collections.abc import Callable
from typing import Final, Protocol

CHUNK: Final = 1 << 18
_AT_ONCE: Final = min(select.PIPE_BUF, 4096) if hasattr(select, "PIPE_BUF") else 1 << 15
"""How many bytes can be written to a writable pipe without waiting.

On Windows a write may wait, because each stream has its own thread.
"""

_READER_GONE: Final = {errno.EPIPE, *([errno.EINVAL] if sys.platform == "win32" else [])}
"""The errors of a write to a pipe that nobody reads. On Windows, EINVAL means that, too (CPython issue 19612)."""

QUIET_SECONDS: Final = 0.1
"""How long a stream must be quiet before its filter is asked for held-back text that is probably not a value."""


class Filter(Protocol):
    """A filter for the output of one stream."""

    def feed(self, data: bytes) -> bytes:
        """Process more bytes, and return the output that may be written now."""

    def idle(self) -> bytes:
        """Return held-back output that may be written, because no bytes have come for a while."""

    def finish(self) -> bytes:
        """Return the remaining output at the end of the stream."""


class Stream:
    """One output stream of the program: from the descriptor `source` through a filter to our own descriptor `target`.

    `open` is true while more bytes may come. `waiting` contains the bytes that are not yet written. `lost` is the error
    if output could not be written; it stays None if the reader only closed its end.
    """

    def __init__(self, source: int, target: int, through: Filter, clock: Callable[[], float] = time.monotonic) -> None:
        self.source = source
        self.target = target
        self.open = True
        self.waiting = b""
        self.lost: OSError | None = None
        self._through = through
        self._clock = clock
        self._quiet_at: float | None = None
        self._piece = sys.maxsize if stat.S_ISREG(os.fstat(target).st_mode) else _AT_ONCE

    def read(self) -> bool:
        """Read the available bytes. Returns whether there were any."""
        try:
            data = os.read(self.source, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # Linux: the last process that had the pseudo-terminal open has closed it
            data = b""
        if data:
            self.waiting += self._through.feed(data)
            self._quiet_at = self._clock() + QUIET_SECONDS
        else:
            self.waiting += self._through.finish()
            self.close()
        return self.open

    def write(self) -> None:
        """Write as many bytes as possible without waiting. Call this when the target is ready."""
        try:
            self.waiting = self.waiting[os.write(self.target, self.waiting[: self._piece]) :]
        except BlockingIOError:  # we inherited the descriptor in non-blocking mode
            return
        except OSError as error:  # the reader is gone or the disk is full: the program's next write fails
            self.waiting = b""
            self.lost = None if error.errno in _READER_GONE else error
            self.close()

    def quiet_in(self) -> float | None:
        """Return in how many seconds the filter must be asked for held-back text; None if it need not be asked."""
        if self.waiting or not self.open or self._quiet_at is None:
            return None
        return max(0.0, self._quiet_at - self._clock())

    def show(self) -> None:
        """Release the held-back text that is probably not a value."""
        if self.open:
            self.waiting += self._through.idle()
        self._quiet_at = None

    def close(self) -> None:
        """Stop reading, and close the source."""
        if self.open:
            self.open = False
            os.close(self.source)
