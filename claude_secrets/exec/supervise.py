"""Run a program, and filter its output. Nothing else changes for the program and for the person.

Always: our process ends with the exit code or signal of the program. No output is lost unless writing fails. The
terminal's settings are restored. If standard output is a terminal, the program gets a terminal too (`terminal_relay`).
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

from claude_secrets.exec.child import FORWARDED, become, start_program
from claude_secrets.exec.streams import Filter, Stream, carry, drain
from claude_secrets.signals import Signals

_KEYS: Final = frozenset({signal.SIGINT, signal.SIGQUIT}) if sys.platform != "win32" else frozenset()

Tell: TypeAlias = Callable[[OSError], None]


def run(
    program: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    make_filter: Callable[[], Filter],
    tell: Tell,
    *,
    sealed: bool,
) -> int:
    """Run a program to its end, and return its exit code. If a signal ends the program, end by the same signal.

    If output could not be written, `tell` is called with the error, and the exit code is not 0. A `sealed` program
    inherits no descriptor above 2 through which its output could bypass the filter.

    Raises:
        OSError: the program cannot be started.
    """
    if sys.platform == "win32":
        return _by_subprocess(program, words, environment, make_filter)
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
    from claude_secrets.exec.screens import outlet

    together = os.path.sameopenfile(1, 2)  # one pipe for 1 and 2 keeps the order of the output
    outlets = [(1, *outlet(1)), *([] if together else [(2, *outlet(2))])]
    ends = {1: outlets[0][2], 2: outlets[-1][2]}
    with Signals() as signals:
        signals.ignore(signal.SIGWINCH)
        child = start_program(lambda: become(program, words, environment, ends, sealed=sealed))

        def hand_on(number: int) -> None:
            if number not in _KEYS or not _at_a_terminal():  # otherwise the terminal signals the program
                os.kill(child, number)

        signals.forward(hand_on, {*FORWARDED, *_KEYS, signal.SIGCONT})
        for end in set(ends.values()):
            os.close(end)
        streams = [Stream(source, target, make_filter()) for target, source, _ in outlets]
        status = None
        while status is None:
            if signals.descriptor in carry(streams, [signals.descriptor]):
                signals.clear()
                if any(_has_new_size(stream) for stream in streams):
                    os.kill(child, signal.SIGWINCH)  # our terminal's signal came before the program's new size
                pid, ended = os.waitpid(child, os.WNOHANG)
                status = ended if pid else None
    return status, streams


def _has_new_size(stream: Stream) -> bool:
    """Copy the window size to the program's terminal. Returns whether the size changed."""
    if not stream.open or not os.isatty(stream.source):
        return False
    from claude_secrets.exec.screens import copy_size

    return copy_size(stream.target, stream.source)


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
    drain(streams)
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
            carry(rest)
    os._exit(0)


def _by_subprocess(
    program: str, words: Sequence[str], environment: Mapping[str, str], make_filter: Callable[[], Filter]
) -> int:
    """Windows: run a program with pipes only. A thread reads each pipe."""
    import subprocess
    import threading

    process = subprocess.Popen(  # noqa: S603  the person chose the program, and no shell runs it
        list(words), executable=program, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )

    def pump(source: int, target: int) -> None:
        stream = Stream(os.dup(source), target, make_filter())
        while stream.open or stream.waiting:
            stream.write() if stream.waiting else stream.read()

    pipes = [(1, process.stdout), (2, process.stderr)]
    threads = [threading.Thread(target=pump, args=(pipe.fileno(), target)) for target, pipe in pipes if pipe]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return process.wait()
