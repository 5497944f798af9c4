"""Running a program whose output passes through a filter, so that neither it nor the person notices anything else.

Always: the program's end is ours, signal or code; nothing that the program wrote is lost; the terminal is put back as
it was. Where standard output is a terminal the program has one, too (`terminal_relay`).
"""

import os
import selectors
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol, Self

CHUNK: Final = 1 << 18
_READS: Final = 64
"""So many reads empty a pipe or terminal of what the program can have left in it."""

QUIET_SECONDS: Final = 0.1
"""How long a terminal is quiet before the filter is asked to show the little it holds back."""

_FORWARDED: Final = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT")


class Filter(Protocol):
    """What a stream passes through."""

    def feed(self, data: bytes) -> bytes:
        """Take more, and return what may be written now."""

    def idle(self) -> bytes:
        """Return what may be written because a terminal is waiting."""

    def finish(self) -> bytes:
        """Return the rest."""


class Stream:
    """One stream of the program, from the descriptor `source` through a filter to our own `target`."""

    def __init__(self, source: int, target: int, through: Filter, *, terminal: bool = False) -> None:
        self.source = source
        self.terminal = terminal
        self._target = target
        self._through = through
        self.open = True

    def pump(self) -> bool:
        """Hand on what has come. Returns False where nothing had, or the stream has ended (it is `open` no more)."""
        try:
            data = os.read(self.source, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # Linux: the last one that had the pseudo-terminal open has closed it
            data = b""
        if data:
            self._write(self._through.feed(data))
        else:
            self._write(self._through.finish())
            self.close()
        return self.open

    def show(self) -> None:
        """Show what a terminal may be waiting for."""
        if self.open and self.terminal:
            self._write(self._through.idle())

    def close(self) -> None:
        """Read no more: the program is told when it writes again."""
        if self.open:
            self.open = False
            os.close(self.source)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and self.open:
            try:
                rest = rest[os.write(self._target, rest) :]
            except BlockingIOError:  # whoever gave us the descriptor made it so
                with selectors.DefaultSelector() as ready:
                    ready.register(self._target, selectors.EVENT_WRITE)
                    ready.select()
            except OSError:  # its reader has gone, or the disk is full
                self.close()


def run(program: str, words: Sequence[str], environment: Mapping[str, str], make_filter: Callable[[], Filter]) -> int:
    """Run a program to its end and return its exit code; where a signal ended it, end by that, too.

    Raises:
        OSError: it cannot be started.
    """
    if sys.platform == "win32":
        return _by_subprocess(program, words, environment, make_filter)
    _open_what_is_closed()
    if os.isatty(1):
        from claude_secrets.human import terminal_relay

        status = terminal_relay.run(program, words, environment, make_filter)
    else:
        status = _by_pipes(program, words, environment, make_filter)
    return end_like(status)


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
    program: str, words: Sequence[str], environment: Mapping[str, str], make_filter: Callable[[], Filter]
) -> int:
    """The program keeps our standard input, process group and session, so that the shell's job control goes on."""
    pipes = [(1, *os.pipe())]
    together = os.path.sameopenfile(1, 2)  # what is written to both stays in order
    if not together:
        pipes.append((2, *os.pipe()))
    ends = {1: pipes[0][2], 2: pipes[-1][2]}
    with Signals() as signals:
        child = started(lambda: become(program, words, environment, ends))
        signals.forward(lambda number: os.kill(child, number), _FORWARDED)
        signals.ignore("SIGINT", "SIGQUIT")  # a terminal sends them to the program, too
        for end in set(ends.values()):
            os.close(end)
        streams = [Stream(source, target, make_filter()) for target, source, _ in pipes]
        status = None
        with selectors.DefaultSelector() as ready:
            ready.register(signals.descriptor, selectors.EVENT_READ)
            for stream in streams:
                ready.register(stream.source, selectors.EVENT_READ, stream)
            while status is None:
                for key, _ in ready.select():
                    if key.data is None:
                        signals.clear()
                    elif not key.data.pump() and not key.data.open:
                        ready.unregister(key.fd)
                pid, found = os.waitpid(child, os.WNOHANG)
                status = found if pid else None
        leave(streams)
    return status


def started(become_it: Callable[[], None]) -> int:
    """Fork a child that becomes a program, and return its number when it has.

    Raises:
        OSError: it cannot.
    """
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        number = 0
        try:
            os.close(told)
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


def become(program: str, words: Sequence[str], environment: Mapping[str, str], ends: Mapping[int, int]) -> None:
    """In the child: take over descriptors and become the program, with the signals as programs expect them."""
    for target, end in ends.items():
        os.dup2(end, target)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, None) or number in _IGNORED_BY_PYTHON:
            signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    os.execve(program, list(words), dict(environment))  # noqa: S606  what the person asked for, without a shell


def leave(streams: Sequence[Stream]) -> None:
    """Hand on all that the program wrote; where something it started writes on, leave a process behind for that."""
    for stream in streams:
        if stream.open:
            os.set_blocking(stream.source, False)
            for _ in range(_READS):  # something may write on without end
                if not stream.pump():
                    break
            stream.show()
    rest = [stream for stream in streams if stream.open]
    if not rest or os.fork():
        for stream in rest:
            stream.close()
        return
    for name in ("SIGINT", "SIGQUIT", "SIGTSTP", "SIGTTOU"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    os.close(0)
    signal.set_wakeup_fd(-1)
    with suppress(OSError), selectors.DefaultSelector() as ready:
        for stream in rest:
            os.set_blocking(stream.source, True)
            ready.register(stream.source, selectors.EVENT_READ, stream)
        while ready.get_map():
            for key, _ in ready.select():
                if not key.data.pump() and not key.data.open:
                    ready.unregister(key.fd)
    os._exit(0)


class Signals:
    """What signals do to us while the program runs; afterwards what they did before."""

    def __init__(self) -> None:
        self.descriptor, self._wakes = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._wakes, False)
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        self._set("SIGCHLD", lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]  # it comes from signal.signal
        os.close(self.descriptor)
        os.close(self._wakes)

    def forward(self, to: Callable[[int], None], names: Sequence[str]) -> None:
        """Hand signals on, as long as there is somebody to take them."""

        def hand_on(number: int, _frame: object) -> None:
            with suppress(ProcessLookupError, PermissionError):
                to(number)

        for name in names:
            self._set(name, hand_on)

    def ignore(self, *names: str) -> None:
        """Let signals pass by; the program does not inherit that."""
        for name in names:
            self._set(name, lambda *_: None)

    def clear(self) -> None:
        """Take note that signals came."""
        with suppress(BlockingIOError):
            while os.read(self.descriptor, 512):
                pass

    def _set(self, name: str, handler: Callable[..., None]) -> None:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` wants it
            self._before.setdefault(number, signal.signal(number, handler))


_IGNORED_BY_PYTHON: Final = {getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)}


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
        while stream.pump():
            pass

    pipes = [(1, process.stdout), (2, process.stderr)]
    threads = [threading.Thread(target=pump, args=(pipe.fileno(), target)) for target, pipe in pipes if pipe]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return process.wait()
