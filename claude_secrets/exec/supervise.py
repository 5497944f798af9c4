"""Running a program whose output passes through a filter, so that neither it nor the person notices anything else.

Always: the program's end is ours, signal or code; nothing that the program wrote is lost; the terminal is put back as
it was. Where standard output is a terminal the program has one, too (`terminal_relay`).
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from claude_secrets import core_dumps
from claude_secrets.exec.streams import Filter, Stream, carry, drain
from claude_secrets.signals import Signals

_ENDING: Final = "TERM HUP USR1 USR2 ALRM VTALRM PROF POLL IO PWR STKFLT XCPU"
FORWARDED: Final = frozenset(
    [
        *(getattr(signal, f"SIG{name}") for name in _ENDING.split() if hasattr(signal, f"SIG{name}")),
        *range(getattr(signal, "SIGRTMIN", 0), getattr(signal, "SIGRTMAX", -1) + 1),
    ]
)
"""Signals that somebody sends to a program, which would end us before it."""

_KEYS: Final = frozenset({signal.SIGINT, signal.SIGQUIT}) if sys.platform != "win32" else frozenset()

_PR_SET_PDEATHSIG: Final = 1
_IGNORED_BY_PYTHON: Final = {getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)}

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
    """Run a program to its end and return its exit code; where a signal ended it, end by that, too.

    `tell` is called with the reason where what it wrote could not be written; the code is not 0 then. A `sealed`
    program inherits no descriptor above 2 that leads around the filter.

    Raises:
        OSError: it cannot be started.
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
    """Let nothing of ours take the number of a standard stream that we were started without."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            os.set_inheritable(number, True)  # noqa: FBT003  it takes no names


def end_like(status: int) -> int:
    """Return the exit code in a status of `waitpid`, or end by the signal that it tells of."""
    if not os.WIFSIGNALED(status):
        return os.waitstatus_to_exitcode(status)
    number = os.WTERMSIG(status)
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number  # it was blocked


def _by_pipes(
    program: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    make_filter: Callable[[], Filter],
    *,
    sealed: bool,
) -> tuple[int, list[Stream]]:
    """The program keeps our standard input, process group and session, so that the shell's job control goes on."""
    together = os.path.sameopenfile(1, 2)  # what is written to both stays in order
    outlets = [(1, *outlet(1)), *([] if together else [(2, *outlet(2))])]
    ends = {1: outlets[0][2], 2: outlets[-1][2]}
    with Signals() as signals:
        signals.ignore(signal.SIGWINCH)
        child = started(lambda: become(program, words, environment, ends, sealed=sealed))

        def hand_on(number: int) -> None:
            if number not in _KEYS or not _at_a_terminal():  # whose keys reach the program, too
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
                    os.kill(child, signal.SIGWINCH)  # what it had from its terminal came before the new size
                pid, found = os.waitpid(child, os.WNOHANG)
                status = found if pid else None
    return status, streams


def outlet(target: int) -> tuple[int, int]:
    """Our end and the program's end of one of its streams: a terminal where our own stream is one, else a pipe."""
    if not os.isatty(target):
        return os.pipe()
    from claude_secrets.exec import terminal_relay

    return terminal_relay.screen(target)


def _has_new_size(stream: Stream) -> bool:
    """Pass the size of a window on. Returns whether it is another one."""
    if not stream.open or not os.isatty(stream.source):
        return False
    from claude_secrets.exec import terminal_relay

    return terminal_relay.copy_size(stream.target, stream.source)


def _at_a_terminal() -> bool:
    """Whether the keys of a terminal send their signals to our process group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:  # we have none
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def started(become_it: Callable[[], None]) -> int:
    """Fork a child that becomes a program, and return its number when it has.

    Raises:
        OSError: it cannot.
    """
    told, tell = os.pipe()
    bind = binding()
    child = os.fork()
    if not child:
        number = 0
        try:
            os.close(told)
            forget_handlers()
            bind()
            become_it()
        except OSError as error:
            number = error.errno or 0
        finally:
            os.write(tell, number.to_bytes(4, "little"))
            os._exit(127)
    os.close(tell)
    failed = os.read(told, 4)
    os.close(told)
    if failed:
        os.waitpid(child, 0)
        number = int.from_bytes(failed, "little")
        raise OSError(number, os.strerror(number))
    return child


def binding() -> Callable[[], None]:
    """What a child calls to be sent SIGTERM when this thread ends, as by SIGKILL: nobody redacts what it prints then.

    Only Linux can. What the child starts is not sent it, and a program with other rights than ours (sudo) forgets it.
    """
    if sys.platform != "linux":
        return lambda: None
    import ctypes  # loaded before the fork

    system, parent = ctypes.CDLL(None), os.getpid()

    def bind() -> None:
        system.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended already
            os.kill(os.getpid(), signal.SIGTERM)

    return bind


def become(
    program: str, words: Sequence[str], environment: Mapping[str, str], ends: Mapping[int, int], *, sealed: bool
) -> None:
    """In the child: take over descriptors and become the program."""
    for target, end in ends.items():
        os.dup2(end, target)
    if sealed:
        _close_outlets()
    core_dumps.give_back()
    os.execve(program, list(words), dict(environment))  # noqa: S606  what the person asked for, without a shell


def _close_outlets() -> None:
    """In the child: close the descriptors above 2 that the program would inherit and could write to.

    Those that it can only read stay open. They carry nothing out, and a shell's `<(…)` names them in the arguments.
    """
    import fcntl  # Windows has none

    for number in [int(each.name) for each in Path("/dev/fd").iterdir()]:
        try:
            inherited = number > 2 and os.get_inheritable(number)
        except OSError:  # the listing's own
            continue
        if inherited and fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
            os.close(number)


def forget_handlers() -> None:
    """In a child: let signals do what they do to programs; what was ignored at our start still is."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, None) or number in _IGNORED_BY_PYTHON:
            signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)


def _leave(streams: Sequence[Stream]) -> None:
    """Hand on all that the program wrote; where something it started writes on, leave a process behind for that."""
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
    """Windows: pipes alone, each read by a thread."""
    import subprocess
    import threading

    process = subprocess.Popen(  # noqa: S603  what the person asked for, without a shell
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
