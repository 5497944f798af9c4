"""Finds a text (the needle) in another text, or a prefix of the needle at the other text's end.

Always: the module is pure and takes linear time for any two texts. `bytes.find` finds one occurrence in linear time.
If occurrences can overlap, finding all of them in linear time needs the methods below.
"""

from array import array
from collections.abc import Iterator
from functools import cached_property
from typing import Final

_HEAD: Final = 16
_TRIES: Final = 8


class Needle:
    """A text to search for."""

    def __init__(self, text: bytes) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Needle({len(self.text)} bytes)"

    def runs(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Yield the start and end of each occurrence of the needle in `text`, in order. Merge those that overlap."""
        size = len(self.text)
        at = text.find(self.text)
        while at >= 0:
            last = at
            while (following := text.find(self.text, last + 1, last + 2 * size - 1)) >= 0:
                period = following - last
                last += period * ((period + _alike(text, last, following) - size) // period)
            yield at, last + size
            at = text.find(self.text, last + size)

    def begun(self, text: bytes) -> int:
        """If `text` ends with a prefix of the needle (16 bytes or more), return where the longest such prefix starts.

        Otherwise return the length of `text`.
        """
        base = max(0, len(text) - len(self.text) + 1)
        tail, head = text[base:], self.text[:_HEAD]
        at, tries = tail.find(head), 0
        while at >= 0 and not self.text.startswith(tail[at:]):
            tries += 1
            if tries > _TRIES:
                return len(text) - self._begun(tail[at:])
            at = tail.find(head, at + 1)
        return len(text) if at < 0 else base + at

    def _begun(self, tail: bytes) -> int:
        """Return the length of the longest prefix of the needle at the end of `tail`. `tail` is shorter."""
        text, borders, known = self.text, self._borders, 0
        for byte in tail:
            while known and text[known] != byte:
                known = borders[known - 1]
            known += text[known] == byte
        return known

    @cached_property
    def _borders(self) -> "array[int]":
        """The failure function of the needle (Knuth, Morris and Pratt, 1977).

        For each prefix of the needle, it gives the length of the longest shorter prefix that is also the prefix's end.
        """
        text, known = self.text, 0
        borders = array("L", bytes(len(text) * array("L").itemsize))
        for place in range(1, len(text)):
            while known and text[known] != text[place]:
                known = borders[known - 1]
            known += text[known] == text[place]
            borders[place] = known
        return borders


def _alike(text: bytes, one: int, other: int) -> int:
    """Return the length of the longest equal parts of `text` that begin at `one` and at `other`, a later position."""
    alike, step, most = 0, _HEAD, len(text) - other
    growing = True
    while alike < most and step:
        step = min(step, most - alike)
        if text[one + alike : one + alike + step] == text[other + alike : other + alike + step]:
            alike += step
            step *= 2 if growing else 1
        else:
            growing = False
            step //= 2
    return alike
