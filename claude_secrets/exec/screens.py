"""The descriptors that a program writes to: a pseudo-terminal if our own stream is a terminal, otherwise a pipe."""

import fcntl
import os
import termios
from contextlib import suppress


def outlet(target: int) -> tuple[int, int]:
    """Open our end and the program's end of a stream: a terminal if our stream `target` is one, otherwise a pipe."""
    if not os.isatty(target):
        return os.pipe()
    return _screen(target)


def copy_size(of: int, to: int) -> bool:
    """Copy the size of one terminal to another. Returns whether that changed it."""
    with suppress(OSError):  # one of them is gone
        size = fcntl.ioctl(of, termios.TIOCGWINSZ, bytes(8))
        if fcntl.ioctl(to, termios.TIOCGWINSZ, bytes(8)) != size:
            fcntl.ioctl(to, termios.TIOCSWINSZ, size)
            return True
    return False


def _screen(target: int) -> tuple[int, int]:
    """Open a terminal for output, with the settings and size of our stream `target`: our end and the program's."""
    master, slave = os.openpty()
    settings = termios.tcgetattr(target)
    settings[1] &= ~termios.OPOST  # our own terminal does that
    termios.tcsetattr(slave, termios.TCSANOW, settings)
    copy_size(target, slave)
    return master, slave
