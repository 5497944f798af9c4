"""Copies a program's output through filters to our own output.

Always: no stream waits for another stream. A slow reader delays only its own stream, as a full pipe would. No output
is lost unless writing fails.
"""

import errno
import math
import os
import select
import stat
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

CHUNK: Final = 1 << 18
_AT_ONCE: Final = min(select.PIPE_BUF, 4096) if hasattr(select, "PIPE_BUF") else 512
"""How many bytes can be written to a writable pipe without waiting."""

_READS: Final = 64
"""How many reads are enough to read all output that the program left in a pipe or terminal."""

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
            self.lost = None if error.errno == errno.EPIPE else error
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


def carry(streams: Sequence[Stream], reading: Iterable[int] = (), writing: Iterable[int] = ()) -> set[int]:
    """Wait until descriptors are ready, let the ready streams read or write, and return all ready descriptors.

    `reading` and `writing` are descriptors to wait for in addition to those of the streams.
    """
    wanted = dict.fromkeys(reading, select.POLLIN)
    for descriptor in writing:
        wanted[descriptor] = wanted.get(descriptor, 0) | select.POLLOUT
    for stream in streams:
        if stream.waiting:
            wanted[stream.target] = wanted.get(stream.target, 0) | select.POLLOUT
        elif stream.open:
            wanted[stream.source] = wanted.get(stream.source, 0) | select.POLLIN
    quiet = [seconds for stream in streams if (seconds := stream.quiet_in()) is not None]
    ready = _ready(wanted, min(quiet, default=None))
    for stream in streams:
        if stream.waiting:
            if stream.target in ready:
                stream.write()
        elif stream.open and stream.source in ready:
            stream.read()
        elif stream.quiet_in() == 0:
            stream.show()
    return ready


def _ready(wanted: Mapping[int, int], seconds: float | None) -> set[int]:
    """Wait until descriptors can be read or written, and return these. Return none if `seconds` pass first."""
    if sys.platform == "darwin":  # poll(2) does not support terminals on macOS
        reading = [number for number, events in wanted.items() if events & select.POLLIN]
        writing = [number for number, events in wanted.items() if events & select.POLLOUT]
        readable, writable, _ = select.select(reading, writing, [], seconds)
        return {*readable, *writable}
    poll = select.poll()
    for number, events in wanted.items():
        poll.register(number, events)
    return {number for number, _ in poll.poll(None if seconds is None else math.ceil(1000 * seconds))}


def drain(streams: Sequence[Stream]) -> None:
    """Write all output that the program has produced so far, without waiting for more output."""
    reads = dict.fromkeys(streams, _READS)
    for stream in streams:
        if stream.open:
            os.set_blocking(stream.source, False)
    while True:
        for stream in streams:
            while stream.open and not stream.waiting and reads[stream]:
                reads[stream] = reads[stream] - 1 if stream.read() else 0
            if not stream.waiting:
                stream.show()
        waiting = [stream for stream in streams if stream.waiting]
        if not waiting:
            return
        carry(waiting)
