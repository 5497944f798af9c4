"""Copies several streams of a program at once, on systems with poll(2).

Always: no stream waits for another stream. A slow reader delays only its own stream, as a full pipe would.
"""

import math
import os
import select
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from claude_secrets.exec.streams import Stream

assert sys.platform != "win32"  # noqa: S101  the type checker needs it; Windows has no poll(2)

_READS: Final = 64
"""How many reads are enough to read all output that the program left in a pipe or terminal."""


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
        ready = {*readable, *writable}
    else:
        poll = select.poll()
        for number, events in wanted.items():
            poll.register(number, events)
        ready = {number for number, _ in poll.poll(None if seconds is None else math.ceil(1000 * seconds))}
    return ready


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
