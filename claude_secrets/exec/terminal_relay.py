"""Run a program on its own pseudo-terminal. `supervise` uses this module if standard output is a terminal.

Always: the program leads the foreground process group of its pseudo-terminal. A monitor process leads the session, so
that the program can be stopped and continued. The person's terminal is in raw mode only while our process group is in
the foreground of this terminal.
"""

import fcntl
import os
import signal
import struct
import sys
import termios
import tty
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from claude_secrets.exec import child, screens, stream_polling
from claude_secrets.exec.streams import Filter, Stream
from claude_secrets.signals import Signals

assert sys.platform != "win32"  # noqa: S101  the type checker needs it; Windows has no pseudo-terminals

_AT_ONCE: Final = 1024
_STARTED: Final = ord("P")
_STOPPED: Final = ord("S")
_ENDED: Final = ord("X")
_REPORT: Final = struct.Struct("<Bi")


def run(
    program: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    make_filter: Callable[[], Filter],
    *,
    sealed: bool,
) -> tuple[int, list[Stream]]:
    """Run a program on a pseudo-terminal, and return its `waitpid` status and its streams.

    The streams may still be open, because processes that the program started may still write.

    Raises:
        OSError: the program cannot be started.
    """
    person = _PersonsTerminal()
    master, slave = os.openpty()
    person.copy_to(slave)
    os.set_blocking(master, False)
    ends, streams = {1: slave}, [Stream(master, 1, make_filter())]
    if os.isatty(0):
        ends[0] = slave
    if _are_one_terminal(1, 2):
        ends[2] = slave
    else:
        source, ends[2] = screens.outlet(2)
        streams.append(Stream(source, 2, make_filter()))
    reports, report = os.pipe()
    orders, order = os.pipe()
    bind = child.binding()
    with Signals() as signals:
        signals.ignore(signal.SIGTTOU, signal.SIGCONT, signal.SIGWINCH)
        if not os.fork():
            for own in (master, reports, order):
                os.close(own)
            child.forget_handlers()
            bind()
            _monitor(lambda: child.become(program, words, environment, ends, sealed=sealed), slave, report, orders)
        for its in {slave, ends[2], report, orders}:
            os.close(its)
        try:
            status = _Relay(person, master, streams, reports, order).run(signals)
        finally:
            person.restore()
        os.close(reports)
        os.close(order)
    return status, streams


def _are_one_terminal(one: int, other: int) -> bool:
    if not os.isatty(other):
        return False
    devices = {os.fstat(one).st_rdev, os.fstat(other).st_rdev}
    return len(devices) == 1 or Path("/dev/tty").stat().st_rdev in devices  # /dev/tty is our terminal


def _monitor(become_it: Callable[[], None], slave: int, report: int, orders: int) -> NoReturn:
    """Lead the session, start the program, and report when the program starts, stops and ends. Never returns."""
    try:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)

        def begin() -> None:
            os.setpgid(0, 0)
            os.tcsetpgrp(slave, os.getpid())
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
            become_it()

        program = child.start_program(begin)
        os.write(report, _REPORT.pack(_STARTED, program))
        while True:
            _, status = os.waitpid(program, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                os.tcsetpgrp(slave, os.getpgrp())  # our exit must not send SIGHUP to processes that it left
                os.write(report, _REPORT.pack(_ENDED, status))
                break
            os.write(report, _REPORT.pack(_STOPPED, status))
            if not os.read(orders, 1):  # the relay is gone
                os.killpg(program, signal.SIGHUP)
            os.killpg(program, signal.SIGCONT)
    except OSError as error:
        with suppress(OSError):
            os.write(report, _REPORT.pack(0, error.errno or 0))
    finally:
        os._exit(0)


class _Relay:
    """Copies bytes between the person's terminal and the program's. Stops and continues together with the program."""

    def __init__(
        self, person: "_PersonsTerminal", master: int, streams: Sequence[Stream], reports: int, order: int
    ) -> None:
        self._person = person
        self._master = master
        self._streams = streams
        self._reports = reports
        self._order = order
        self._program = 0
        self._early: list[int] = []
        self._typed = b""
        self._in_front = False

    def run(self, signals: Signals) -> int:
        """Copy bytes until the program has ended, and return its `waitpid` status."""
        signals.forward(self._hand_on, {*child.FORWARDED, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP})
        self._take_turn()
        status: int | None = None
        while status is None:
            listening = [0] if self._in_front and not self._typed else []
            typing = [self._master] if self._typed else []
            ready = stream_polling.carry(self._streams, [signals.descriptor, self._reports, *listening], typing)
            if signals.descriptor in ready:
                signals.clear()
                screens.copy_size(1, self._master)
                self._take_turn()
            if self._reports in ready:
                status = self._reported()
            if listening and 0 in ready:
                self._take_input()
            self._pass_on()
        return status

    def _hand_on(self, number: int) -> None:
        if self._program:
            with suppress(ProcessLookupError):
                os.killpg(self._program, number)
        else:
            self._early.append(number)

    def _reported(self) -> int | None:
        data = os.read(self._reports, _REPORT.size)
        if not data:  # the monitor was killed, and the end of its terminal kills the program
            return int(signal.SIGKILL)
        what, number = _REPORT.unpack(data)
        if what == _ENDED:
            return int(number)
        if what == _STARTED:
            self._program = number
            for early in self._early:
                self._hand_on(early)
        elif what == _STOPPED:
            self._stop()
        else:
            raise OSError(number, os.strerror(number))
        return None

    def _stop(self) -> None:
        """Stop our whole process group, as the terminal would do. Continue the program when our group is continued."""
        stream_polling.drain(self._streams)
        self._person.restore()
        before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(0, signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, before)
        self._take_turn()
        screens.copy_size(1, self._master)
        os.write(self._order, b"C")

    def _take_turn(self) -> None:
        """Check whether we are in the foreground, because the person's input is read only in the foreground."""
        self._in_front = self._person.take()

    def _take_input(self) -> None:
        try:
            self._typed = os.read(0, _AT_ONCE)
        except OSError:  # the terminal is gone
            self._typed = b""
        if not self._typed:
            self._in_front = False

    def _pass_on(self) -> None:
        """Pass typed bytes to the program, as many as its terminal accepts."""
        if not self._streams[0].open:
            self._typed = b""
        with suppress(BlockingIOError):
            while self._typed:
                self._typed = self._typed[os.write(self._master, self._typed) :]


class _PersonsTerminal:
    """The terminal on which we were started: its settings and size."""

    def __init__(self) -> None:
        self._settings = termios.tcgetattr(0) if os.isatty(0) else None
        self._raw = False

    def copy_to(self, slave: int) -> None:
        """Copy the settings and size of the person's terminal to a new terminal."""
        settings = termios.tcgetattr(1)
        if self._settings is None:
            settings[1] &= ~termios.OPOST  # the person's terminal is not raw, and processes output
        termios.tcsetattr(slave, termios.TCSANOW, settings)
        screens.copy_size(1, slave)

    def take(self) -> bool:
        """Make the terminal raw if we are in its foreground. Returns whether we are in the foreground."""
        if self._settings is None:
            return False
        try:
            foreground = os.tcgetpgrp(0) == os.getpgrp()
        except OSError:  # standard input is not our own terminal
            foreground = False
        if foreground and not self._raw:
            self._settings = termios.tcgetattr(0)
            tty.setraw(0, termios.TCSADRAIN)
            self._raw = True
        elif not foreground:
            self._raw = False  # the process that has the terminal now uses its own settings
        return foreground

    def restore(self) -> None:
        """Restore the settings of the person's terminal."""
        if self._raw and self._settings is not None:
            with suppress(termios.error):
                termios.tcsetattr(0, termios.TCSADRAIN, self._settings)
            self._raw = False
