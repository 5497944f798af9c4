"""Run a program on Windows as a child process, because a process cannot become another program there.

Always: this process ends only after the program, with the program's exit code. Meanwhile it ignores Ctrl-C and
Ctrl-Break, which the console also sends to the program. Only cmd.exe of Windows' own directory runs batch files.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from claude_secrets.exec.streams import Filter, Stream
from claude_secrets.exec.windows_words import command_line, signed

assert sys.platform == "win32"  # noqa: S101  the type checker needs it; `posix_child` is for other systems


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
    lost = list[OSError]()

    def pump(source: int, target: int) -> None:
        stream = Stream(os.dup(source), target, make_filter())
        while stream.open or stream.waiting:
            stream.write() if stream.waiting else stream.read()
        if stream.lost:
            lost.append(stream.lost)

    pipe = subprocess.PIPE
    with (
        _without_keys(),
        subprocess.Popen(line, executable=file, env=dict(environment), stdout=pipe, stderr=pipe) as process,  # noqa: S603
    ):
        ends = [(1, process.stdout), (2, process.stderr)]
        threads = [threading.Thread(target=pump, args=(end.fileno(), target)) for target, end in ends if end]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        code = signed(process.wait())
    if lost:
        tell(lost[0])
    return code or len(lost[:1])


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
