"""A stand-in for the Windows console: the four functions of `msvcrt` that the program uses, and what a person types."""

from collections.abc import Sequence

UP, DELETE, F1, F12 = "\xe0H", "\xe0S", "\x00;", "\xe0\x86"
"""Keys without a character. The C library returns each as two units."""


class Pause:
    """The person, or a slow paste, waits for some seconds before the next key."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class ConsoleStandIn:
    """A stand-in for the keyboard and screen of a Windows console, and for the clock.

    `keys` are typed once something is shown, and `before` are typed earlier. A key is one character, or two units for a
    key without a character. Time passes only in `sleep`, and by `seconds_a_key` with each key.

    As in the C library, the second half of a key waits in a buffer for one unit, which `kbhit` does not report.
    """

    def __init__(self, keys: Sequence[str | Pause], *, before: Sequence[str] = (), seconds_a_key: float = 0.0) -> None:
        self.shown = ""
        self._keys: list[str | Pause] = [*keys]
        self._waiting: list[str | Pause] = [*before]
        self._held: list[str] = []
        self._time = 0.0
        self._seconds_a_key = seconds_a_key

    def getwch(self) -> str:
        if self._held:
            return self._held.pop()
        while self._waiting and isinstance(pause := self._waiting[0], Pause):
            self._time += pause.seconds
            self._waiting.pop(0)
        assert self._waiting, "the program waits, but nobody types"
        self._time += self._seconds_a_key
        key = self._waiting.pop(0)
        assert isinstance(key, str)
        if key == "^C between two keys":
            raise KeyboardInterrupt
        if len(key) == 2:
            self._held.append(key[1])
            return key[0]
        first, *second = _units(key)
        self._waiting[:0] = second
        return first

    def kbhit(self) -> bool:
        return bool(self._waiting) and not isinstance(self._waiting[0], Pause)

    def ungetwch(self, unit: str, /) -> None:
        if self._held:
            raise OSError
        self._held.append(unit)

    def putwch(self, unit: str, /) -> None:
        assert len(_units(unit)) == 1, "msvcrt.putwch takes one UTF-16 unit"
        self.shown += unit
        self._waiting += self._keys
        self._keys = []

    def now(self) -> float:
        return self._time

    def sleep(self, seconds: float) -> None:
        self._time += seconds
        if self._waiting and isinstance(pause := self._waiting[0], Pause):
            pause.seconds -= seconds
            if pause.seconds <= 0:
                self._waiting.pop(0)

    def left_over(self) -> str:
        """Return the typed text that was not read: a shell would read it next."""
        left = [*self._held, *self._waiting, *self._keys]
        return "".join(key for key in left if isinstance(key, str))


def _units(text: str) -> list[str]:
    """Return the UTF-16 units of a character."""
    data = text.encode("utf-16-le", "surrogatepass")
    return [data[start : start + 2].decode("utf-16-le", "surrogatepass") for start in range(0, len(data), 2)]
