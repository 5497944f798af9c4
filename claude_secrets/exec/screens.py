"""Where a program writes: a terminal like ours where our own stream is one, else a pipe."""

import fcntl
import os
import termios
from contextlib import suppress


def outlet(target: int) -> tuple[int, int]:
    """Our end and the program's end of one of its streams: a terminal where our own stream is one, else a pipe."""
    if not os.isatty(target):
        return os.pipe()
    return _screen(target)


def copy_size(of: int, to: int) -> bool:
    """Give a terminal the size of another one. Returns whether it had a different size."""
    with suppress(OSError):  # one of them has gone
        size = fcntl.ioctl(of, termios.TIOCGWINSZ, bytes(8))
        if fcntl.ioctl(to, termios.TIOCGWINSZ, bytes(8)) != size:
            fcntl.ioctl(to, termios.TIOCSWINSZ, size)
            return True
    return False


def _screen(target: int) -> tuple[int, int]:
    """A terminal to write to only, with the settings and size of our stream `target`: our end, and the program's."""
    master, slave = os.openpty()
    settings = termios.tcgetattr(target)
    settings[1] &= ~termios.OPOST  # our own terminal does that
    termios.tcsetattr(slave, termios.TCSANOW, settings)
    copy_size(target, slave)
    return master, slave
