"""Carry a program's output through filters to our own output.

Always: no stream waits for another. A slow reader holds up only its own stream, as a full pipe would. All bytes read
are written, unless writing fails.
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
"""How many bytes can be written without waiting to a pipe that has room."""

_READS: Final = 64
"""How many reads are enough to empty a pipe or terminal of output that the program left in it."""

QUIET_SECONDS: Final = 0.1
"""How long a stream is quiet before its filter is asked for text that it held back only by chance."""


class Filter(Protocol):
    """A filter that a stream's output passes through."""

    def feed(self, data: bytes) -> bytes:
        """Take more bytes and return those that may be written now."""

    def idle(self) -> bytes:
        """Return bytes that may be written because nothing more has come for a while."""

    def finish(self) -> bytes:
        """Return the rest."""


class Stream:
    """One stream of the program, from the descriptor `source` through a filter to our own `target`.

    `open`: more may come. `waiting`: bytes still to be written. `lost`: why output could not be written; stays None if
    the reader just closed its end.
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
        """Read the bytes that have come. Returns whether there were any."""
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
        """Write as much as possible without waiting, once the target is ready."""
        try:
            self.waiting = self.waiting[os.write(self.target, self.waiting[: self._piece]) :]
        except BlockingIOError:  # we inherited the descriptor in non-blocking mode
            return
        except OSError as error:  # the reader is gone or the disk is full: the program's next write fails
            self.waiting = b""
            self.lost = None if error.errno == errno.EPIPE else error
            self.close()

    def quiet_in(self) -> float | None:
        """In how many seconds the stream counts as quiet; None if its filter need not be asked then."""
        if self.waiting or not self.open or self._quiet_at is None:
            return None
        return max(0.0, self._quiet_at - self._clock())

    def show(self) -> None:
        """Release the text that the filter held back only by chance."""
        if self.open:
            self.waiting += self._through.idle()
        self._quiet_at = None

    def close(self) -> None:
        """Stop reading and close the source."""
        if self.open:
            self.open = False
            os.close(self.source)


def carry(streams: Sequence[Stream], reading: Iterable[int] = (), writing: Iterable[int] = ()) -> set[int]:
    """Wait until a stream can read or write, and let it; return all descriptors that are ready.

    `reading`, `writing`: further descriptors to wait for.
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
    """Wait for descriptors that can be read or written, and return them; none after `seconds`."""
    if sys.platform == "darwin":  # its poll(2) does not support terminals
        reading = [number for number, events in wanted.items() if events & select.POLLIN]
        writing = [number for number, events in wanted.items() if events & select.POLLOUT]
        readable, writable, _ = select.select(reading, writing, [], seconds)
        return {*readable, *writable}
    poll = select.poll()
    for number, events in wanted.items():
        poll.register(number, events)
    return {number for number, _ in poll.poll(None if seconds is None else math.ceil(1000 * seconds))}


def drain(streams: Sequence[Stream]) -> None:
    """Write out all output so far, without waiting for more."""
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
