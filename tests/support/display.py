"""An X display, used as a person would: finds windows by their titles, types, and takes pictures.

Typing needs the program xdotool. The rest needs libX11, which xdotool needs, too.
"""

import ctypes
import os
import subprocess

from tests.support.requirements import require

_DEADLINE = 20.0
_CLIENT_MESSAGE = 33
_Z_PIXMAP = 2
_ALL_PLANES = ctypes.c_ulong(-1)


class _ClientMessage(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("rest_of_the_union", ctypes.c_long * 24),
    )


class _Image(ctypes.Structure):
    _fields_ = (
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("xoffset", ctypes.c_int),
        ("format", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("byte_order", ctypes.c_int),
        ("bitmap_unit", ctypes.c_int),
        ("bitmap_bit_order", ctypes.c_int),
        ("bitmap_pad", ctypes.c_int),
        ("depth", ctypes.c_int),
        ("bytes_per_line", ctypes.c_int),
    )


class Screen:
    """The display called `name`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._xdotool = require("xdotool")

    def windows(self, title: str) -> list[int]:
        """Return the visible windows whose titles match the regular expression `title`."""
        done = self._run("search", "--onlyvisible", "--name", title, check=False)
        return [int(number) for number in done.split()]

    def press(self, window: int, *keys: str) -> None:
        """Press keys (by their names in xdotool) one after the other in `window`."""
        self._run("windowfocus", "--sync", str(window))
        self._run("key", "--delay", "100", *keys)

    def type(self, window: int, text: str) -> None:
        """Type `text` in `window`.

        This first gives each character a key. If xdotool has to add a key itself, it removes the key right after
        typing, and a slow program then reads another character or none.
        """
        with _Connection(self.name) as (library, display):
            _make_keys(library, display, [character for character in dict.fromkeys(text) if not character.isascii()])
        self._run("windowfocus", "--sync", str(window))
        self._run("type", "--delay", "150", "--", text)

    def title(self, window: int) -> str:
        """Return the window's title."""
        return self._run("getwindowname", str(window)).removesuffix("\n")

    def close(self, window: int) -> None:
        """Ask the window to close, as a window manager's close button does."""
        with _Connection(self.name) as (library, display):
            message = _ClientMessage(
                type=_CLIENT_MESSAGE,
                window=window,
                message_type=library.XInternAtom(display, b"WM_PROTOCOLS", 0),
                format=32,
            )
            message.data[0] = library.XInternAtom(display, b"WM_DELETE_WINDOW", 0)
            assert library.XSendEvent(display, window, 0, 0, ctypes.byref(message))

    def picture(self) -> bytes:
        """Return a picture of the whole screen."""
        with _Connection(self.name) as (library, display):
            root = library.XDefaultRootWindow(display)
            pointer = library.XGetImage(display, root, 0, 0, 1024, 768, _ALL_PLANES, _Z_PIXMAP)
            assert pointer
            image = ctypes.cast(pointer, ctypes.POINTER(_Image)).contents
            try:
                return ctypes.string_at(image.data, image.bytes_per_line * image.height)
            finally:
                library.XDestroyImage(ctypes.c_void_p(pointer))

    def _run(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [self._xdotool, *arguments],
            # With an ASCII locale it can type only ASCII.
            env={"DISPLAY": self.name, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            check=check,
            timeout=_DEADLINE,
        )
        return done.stdout


def _make_keys(library: ctypes.CDLL, display: ctypes.c_void_p, characters: list[str]) -> None:
    """Give a key to each character that has none, as long as the display exists."""
    first, last, columns = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    library.XDisplayKeycodes(display, ctypes.byref(first), ctypes.byref(last))
    count = last.value - first.value + 1
    symbols = library.XGetKeyboardMapping(display, first.value, count, ctypes.byref(columns))
    rows = [symbols[row * columns.value : (row + 1) * columns.value] for row in range(count)]
    library.XFree(symbols)
    free = [first.value + number for number, row in enumerate(rows) if not any(row)]
    known = {symbol for row in rows for symbol in row}
    for symbol in map(_symbol, characters):
        if symbol not in known:
            pair = (ctypes.c_ulong * 2)(symbol, symbol)  # with the shift key and without
            library.XChangeKeyboardMapping(display, free.pop(), 2, pair, 1)
    library.XSync(display, 0)


def _symbol(character: str) -> int:
    """Return X's number for a character: https://www.x.org/releases/current/doc/xproto/x11protocol.html, appendix A."""
    code = ord(character)
    return code if code < 0x100 else 0x01000000 + code


class _Connection:
    def __init__(self, name: str) -> None:
        self._library = ctypes.CDLL("libX11.so.6")
        self._library.XOpenDisplay.restype = ctypes.c_void_p
        self._library.XInternAtom.restype = ctypes.c_ulong
        self._library.XDefaultRootWindow.restype = ctypes.c_ulong
        self._library.XGetImage.restype = ctypes.c_void_p
        number, window, place = ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int
        self._library.XInternAtom.argtypes = [number, ctypes.c_char_p, ctypes.c_int]
        self._library.XDefaultRootWindow.argtypes = [number]
        self._library.XSendEvent.argtypes = [number, window, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
        self._library.XGetImage.argtypes = [
            number, window, place, place, ctypes.c_uint, ctypes.c_uint, ctypes.c_ulong, ctypes.c_int,
        ]  # fmt: skip
        self._library.XGetKeyboardMapping.restype = ctypes.POINTER(window)
        pointer = ctypes.c_void_p
        self._library.XDisplayKeycodes.argtypes = [number, pointer, pointer]
        self._library.XGetKeyboardMapping.argtypes = [number, ctypes.c_ubyte, place, pointer]
        self._library.XChangeKeyboardMapping.argtypes = [number, place, place, pointer, place]
        self._library.XFree.argtypes = [pointer]
        self._library.XSync.argtypes = [number, place]
        self._library.XCloseDisplay.argtypes = [number]
        self._name = name

    def __enter__(self) -> tuple[ctypes.CDLL, ctypes.c_void_p]:
        self._display = ctypes.c_void_p(self._library.XOpenDisplay(self._name.encode()))
        assert self._display
        return self._library, self._display

    def __exit__(self, *_exception: object) -> None:
        self._library.XCloseDisplay(self._display)  # this sends all pending requests
