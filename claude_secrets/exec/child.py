"""Start a program as a child process on POSIX systems, with the exit, signals and descriptors that a shell gives it.

Always: the child has none of our signal handlers. A sealed child has no descriptor through which its output could
bypass the filter.
"""

import fcntl
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from claude_secrets import core_dumps
from claude_secrets.exit_codes import NO_PROGRAM

assert sys.platform != "win32"  # noqa: S101  the type checker needs it; Windows has no fork(2)

_ENDING: Final = "TERM HUP USR1 USR2 ALRM VTALRM PROF POLL IO PWR STKFLT XCPU"
FORWARDED: Final = frozenset(
    [
        *(getattr(signal, f"SIG{name}") for name in _ENDING.split() if hasattr(signal, f"SIG{name}")),
        *range(getattr(signal, "SIGRTMIN", 0), getattr(signal, "SIGRTMAX", -1) + 1),
    ]
)
"""Signals that are meant for the program. They would end our process if we did not forward them."""

_PR_SET_PDEATHSIG: Final = 1
_IGNORED_BY_PYTHON: Final = {getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)}


def start_program(become_it: Callable[[], None]) -> int:
    """Fork a child that becomes a program, and return the child's process ID when the program has started.

    Raises:
        OSError: the child cannot become the program.
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
            os._exit(NO_PROGRAM)
    os.close(tell)
    failed = os.read(told, 4)
    os.close(told)
    if failed:
        os.waitpid(child, 0)
        number = int.from_bytes(failed, "little")
        raise OSError(number, os.strerror(number))
    return child


def binding() -> Callable[[], None]:
    """Return a function for the child: the kernel then sends the child SIGTERM when this thread ends, even by SIGKILL.

    Without the signal, the program would continue to run, and its output would not be redacted. The function has an
    effect only on Linux. Processes that the child starts do not get the signal. If the program has other privileges
    than we have (sudo), the kernel drops the request.
    """
    return _end_with(os.getpid()) if sys.platform == "linux" else lambda: None


def _end_with(parent: int) -> Callable[[], None]:
    import ctypes  # loaded before the fork

    system = ctypes.CDLL(None)

    def bind() -> None:
        system.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent has ended already
            os.kill(os.getpid(), signal.SIGTERM)

    return bind


def become(
    program: str, words: Sequence[str], environment: Mapping[str, str], ends: Mapping[int, int], *, sealed: bool
) -> None:
    """In the child: copy each descriptor in `ends` to its target number, and become the program."""
    for target, end in ends.items():
        os.dup2(end, target)
    if sealed:
        _close_outlets()
    core_dumps.give_back()
    os.execve(program, list(words), dict(environment))  # noqa: S606  the person chose the program; no shell


def _close_outlets() -> None:
    """In the child: close the descriptors above 2 that the program would inherit and could write to.

    Read-only descriptors stay open: no output can leave through them, and the program's arguments may name them, as
    in `<(…)`.
    """
    for number in [int(each.name) for each in Path("/dev/fd").iterdir()]:
        try:
            inherited = number > 2 and os.get_inheritable(number)
        except OSError:  # the directory listing had this descriptor and is closed now
            continue
        if inherited and fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
            os.close(number)


def forget_handlers() -> None:
    """In a child: reset signals to their default actions, except signals that were ignored when we started."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, None) or number in _IGNORED_BY_PYTHON:
            signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
