"""Opens streams for a program's output: a pseudo-terminal if our own stream is a terminal, otherwise a pipe."""

import fcntl
import os
import sys
import termios
from contextlib import suppress

assert sys.platform != "win32"  # noqa: S101  the type checker needs it; Windows has no such terminals


def outlet(target: int) -> tuple[int, int]:
    """Open a stream for a program's output, and return our end and the program's end.

    The stream is a pseudo-terminal if our own stream `target` is a terminal; otherwise it is a pipe.
    """
    if not os.isatty(target):
        return os.pipe()
    return _screen(target)


def copy_size(of: int, to: int) -> bool:
    """Copy the size of the terminal `of` to the terminal `to`. Returns whether the size of `to` changed."""
    with suppress(OSError):  # one of them is gone
        size = fcntl.ioctl(of, termios.TIOCGWINSZ, bytes(8))
        if fcntl.ioctl(to, termios.TIOCGWINSZ, bytes(8)) != size:
            fcntl.ioctl(to, termios.TIOCSWINSZ, size)
            return True
    return False


def _screen(target: int) -> tuple[int, int]:
    """Open a pseudo-terminal with the settings and size of our stream `target`; return our end and the program's."""
    master, slave = os.openpty()
    settings = termios.tcgetattr(target)
    settings[1] &= ~termios.OPOST  # our own terminal processes the output
    termios.tcsetattr(slave, termios.TCSANOW, settings)
    copy_size(target, slave)
    return master, slave
