"""Run a program on Windows as a child process, because a process cannot become another program there.

Always: this process ends only after the program, with the program's exit code. Meanwhile it ignores Ctrl-C and
Ctrl-Break, which the console also sends to the program. Only cmd.exe of Windows' own directory runs batch files.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, Final

from claude_secrets.exec.streams import Filter, Stream
from claude_secrets.exec.windows_words import command_line, signed

assert sys.platform == "win32"  # noqa: S101  the type checker needs it; `posix_child` is for other systems

import msvcrt  # noqa: E402  only Windows has it

_TICK: Final = 0.01
"""The seconds between two checks of a quiet pipe."""


def run(program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program to its end, and return its exit code. The program inherits the same handles as we did.

    Raises:
        OSError: the program cannot be started.
    """
    file, line = command_line(program, arguments, _cmd())
    with (
        _without_keys(),
        subprocess.Popen(line, executable=file, env=dict(environment), close_fds=False) as process,  # noqa: S603
    ):
        return signed(process.wait())


def run_filtered(
    program: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    make_filter: Callable[[], Filter],
    tell: Callable[[OSError], None],
) -> int:
    """Do what `supervise.run` describes. The program gets pipes, and a thread reads each pipe.

    Raises:
        OSError: the program cannot be started.
    """
    file, line = command_line(program, arguments, _cmd())
    pipe = subprocess.PIPE
    with (
        _without_keys(),
        subprocess.Popen(line, executable=file, env=dict(environment), stdout=pipe, stderr=pipe) as process,  # noqa: S603
        ThreadPoolExecutor() as pool,
    ):
        ends = [(1, process.stdout), (2, process.stderr)]
        jobs = [pool.submit(_pump, end, target, make_filter) for target, end in ends if end]
        code = signed(process.wait())
    lost = [error for job in jobs if (error := job.result())]
    if lost:
        tell(lost[0])
    return code or len(lost[:1])


def _pump(pipe: IO[bytes], target: int, make_filter: Callable[[], Filter]) -> OSError | None:
    """Copy a program's output from `pipe` to our descriptor `target`. Return the error if output could not be written.

    All our descriptors of the pipe are closed at the end, even after an error. Otherwise the program would wait forever
    for a reader of its output.
    """
    with pipe:
        source = os.dup(pipe.fileno())
    try:
        stream = Stream(source, target, make_filter())
    except BaseException:
        os.close(source)
        raise
    try:
        while stream.open or stream.waiting:
            if stream.waiting:
                stream.write()
            elif (quiet := stream.quiet_in()) is not None and not _has_output(source, quiet):
                stream.show()
            else:
                stream.read()
    finally:
        stream.close()
    return stream.lost


def _has_output(source: int, seconds: float) -> bool:
    """Wait at most `seconds` until the pipe contains bytes or its other end is closed. Return whether this happened."""
    ends, available = time.monotonic() + seconds, ctypes.c_ulong()
    pipe = ctypes.c_void_p(msvcrt.get_osfhandle(source))
    while ctypes.windll.kernel32.PeekNamedPipe(pipe, None, 0, None, ctypes.byref(available), None):
        if available.value:
            return True
        if time.monotonic() >= ends:
            return False
        time.sleep(_TICK)  # Windows has no function that waits for output in a pipe
    return True


def _cmd() -> str:
    """Return the path of cmd.exe in Windows' own directory, which no variable can change."""
    size = 1 << 15  # the longest path
    text = ctypes.create_unicode_buffer(size)
    if not 0 < ctypes.windll.kernel32.GetSystemDirectoryW(text, size) < size:
        raise ctypes.WinError()
    return f"{text.value}\\cmd.exe"


@contextmanager
def _without_keys() -> Iterator[None]:
    """Ignore Ctrl-C and Ctrl-Break in this process. Programs that this process starts do not inherit this."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGBREAK)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
