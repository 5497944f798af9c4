"""Run a program with its output filtered, on POSIX systems.

Always: our process ends with the exit code or signal of the program. The terminal's settings are restored. If standard
output is a terminal, the program gets a terminal too (`terminal_relay`).
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from claude_secrets.exec import child, screens, stream_polling
from claude_secrets.exec.streams import Filter, Stream
from claude_secrets.signals import Signals

assert sys.platform != "win32"  # noqa: S101  the type checker needs it; `windows_child` is for Windows

_KEYS: Final = frozenset({signal.SIGINT, signal.SIGQUIT})


def run(
    program: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    make_filter: Callable[[], Filter],
    tell: Callable[[OSError], None],
    *,
    sealed: bool,
) -> int:
    """Do what `supervise.run` describes.

    Raises:
        OSError: the program cannot be started.
    """
    _open_what_is_closed()
    if os.isatty(1):
        from claude_secrets.exec import terminal_relay

        status, streams = terminal_relay.run(program, words, environment, make_filter, sealed=sealed)
    else:
        status, streams = _by_pipes(program, words, environment, make_filter, sealed=sealed)
    _leave(streams)
    lost = [stream.lost for stream in streams if stream.lost]
    if lost:
        tell(lost[0])
    return end_like(status) or len(lost[:1])


def _open_what_is_closed() -> None:
    """Open each standard stream that is closed, so that no other file gets the stream's descriptor number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the new descriptor gets the lowest free number
            os.set_inheritable(number, True)  # noqa: FBT003  the function takes no keyword arguments


def end_like(status: int) -> int:
    """Return the exit code in a `waitpid` status. If the status contains a signal, end by this signal."""
    if not os.WIFSIGNALED(status):
        return os.waitstatus_to_exitcode(status)
    number = os.WTERMSIG(status)
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number  # the signal was blocked


def _by_pipes(
    program: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    make_filter: Callable[[], Filter],
    *,
    sealed: bool,
) -> tuple[int, list[Stream]]:
    """Run a program with pipes. It shares our standard input, process group and session, so job control works."""
    together = os.path.sameopenfile(1, 2)  # one pipe for 1 and 2 keeps the order of the output
    outlets = [(1, *screens.outlet(1)), *([] if together else [(2, *screens.outlet(2))])]
    ends = {1: outlets[0][2], 2: outlets[-1][2]}
    with Signals() as signals:
        signals.ignore(signal.SIGWINCH)
        process = child.start_program(lambda: child.become(program, words, environment, ends, sealed=sealed))

        def hand_on(number: int) -> None:
            if number not in _KEYS or not _at_a_terminal():  # otherwise the terminal signals the program
                os.kill(process, number)

        signals.forward(hand_on, {*child.FORWARDED, *_KEYS, signal.SIGCONT})
        for end in set(ends.values()):
            os.close(end)
        streams = [Stream(source, target, make_filter()) for target, source, _ in outlets]
        status = None
        while status is None:
            if signals.descriptor in stream_polling.carry(streams, [signals.descriptor]):
                signals.clear()
                if any(_has_new_size(stream) for stream in streams):
                    os.kill(process, signal.SIGWINCH)  # our terminal's signal came before the program's new size
                pid, ended = os.waitpid(process, os.WNOHANG)
                status = ended if pid else None
    return status, streams


def _has_new_size(stream: Stream) -> bool:
    """Copy the window size to the program's terminal. Returns whether the size changed."""
    if not stream.open or not os.isatty(stream.source):
        return False
    return screens.copy_size(stream.target, stream.source)


def _at_a_terminal() -> bool:
    """Whether a terminal sends the signals of its keys, such as Ctrl-C, to our process group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:  # we have no terminal
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _leave(streams: Sequence[Stream]) -> None:
    """Write all output so far, and leave a process for later output if there may be any.

    Processes that the program started may still write. The process that we leave filters their output.
    """
    stream_polling.drain(streams)
    rest = [stream for stream in streams if stream.open]
    if not rest or os.fork():
        for stream in rest:
            stream.close()
        return
    for name in ("SIGINT", "SIGQUIT", "SIGTSTP", "SIGTTOU"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    with suppress(OSError):
        os.close(0)
        while any(stream.open or stream.waiting for stream in rest):
            stream_polling.carry(rest)
    os._exit(0)
