"""Finding values in a stream of bytes, in every form of `forms`, and putting `[secret://NAME]` in their place.

Always: pure; what comes out does not depend on how the stream was cut into chunks; where finds overlap the longest
wins. This is against accidents: whoever chooses the program can spell a value in ways that are not looked for.
"""

import re
import sys
from bisect import bisect
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from claude_secrets.forms import Form, Unit, forms_of
from claude_secrets.patterns import ByteSearch, spelled

HEAD: Final = 8
"""So many units of a form are looked for at once; where they stand, all of it is compared."""

SHOWN_EARLY: Final = 3
"""Bytes of a possible value that are shown where a terminal is waiting for them, at most."""

_TAIL: Final = 256
"""More bytes than the units of a head can take up."""

_ALIKE: Final = 7
"""Bytes of a form that are compared before its units are."""

_FOLDED: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-_ ", b"abcdefghijklmnopqrstuvwxyz+/+")
"""Takes for one what is for some form the same."""

_RUN: Final = re.compile(rb"[^%\\'\"\x00-\x1f\x7f-\xff]{1,7}")
"""Bytes of which none is part of an escape or a line break."""

_WRAPS: Final = (b"\n", b"\r\n", b"\\n", b"\\r\\n", b"\\\\n", b"\\\\r\\\\n")
"""Line breaks inside an encoded value, also those of a JSON text (and of one inside another)."""

_ANY_WRAP: Final = re.compile(rb"(?:\r|\\{1,2}r)?(?:\n|\\{1,2}n)")
_SURE: Final = re.compile(rb"[A-Za-z0-9]{8}")
"""A part of a form that every spelling of it has, but for line breaks and what `_FOLDED` makes the same."""

_BREAK: Final = re.compile(rb"[\r\n\\]")
_MORE: Final = -1


class Found(NamedTuple):
    """A value of the secret `name` in `data[start:end]`."""

    start: int
    end: int
    name: str


class Finder:
    """Finds the values of secrets, given by name."""

    def __init__(self, values: Mapping[str, str]) -> None:
        forms = [form for name in sorted(values) for form in forms_of(name, values[name])]
        self._by_first: dict[int, list[Form]] = {}
        self._by_head: dict[bytes, list[Form]] = {}
        self._prefixes: set[bytes] = set()
        heads = []
        for form in forms:
            units = form.units(HEAD)
            for first in {spelling[0] for spelling in units[0]}:
                self._by_first.setdefault(first, []).append(form)
            head = form.literal[:_ALIKE].translate(_FOLDED)
            self._by_head.setdefault(head if len(head) == _ALIKE else b"", []).append(form)
            self._prefixes.update(head[:length] for length in range(1, len(head) + 1))
            heads.append(_head(units, wraps=not form.word))
        self._units: dict[Form, list[Unit]] = {}
        self._heads = ByteSearch(heads)

    def find(self, data: bytes, *, before: int | None, final: bool) -> tuple[list[Found], int]:
        """The longest find at each place, in order, and from where on nothing can be said before more has come.

        `before` is the byte that stood before `data`; `final`: nothing will come after it.
        """
        known = len(data) if final else self._unfinished(data)
        found = []
        for at in self._heads.starts(data):
            if at >= known:
                break
            end, name = self._longest(data, at, before=before, final=final)
            if end == _MORE:
                known = at
            elif name:
                found.append(Found(at, end, name))
        return found, known

    def _unfinished(self, data: bytes) -> int:
        """Where the first form begins that `data` may end in the midst of."""
        for at in range(max(0, len(data) - _TAIL), len(data)):
            if data[at] in self._by_first:
                run = _RUN.match(data, at)
                plain = run.group().translate(_FOLDED) if run else b""
                if (not plain or plain in self._prefixes) and any(
                    self._end(form, data, at, final=False) == _MORE for form in self._by_first[data[at]]
                ):
                    return at
        return len(data)

    def shown_early(self, data: bytes) -> int:
        """How many bytes of `data`, which may become a value, can be shown before it is known: a quarter of it."""
        forms = self._by_first.get(data[0], ()) if data else ()
        begun = [form for form in forms if self._end(form, data, 0, final=False) == _MORE]
        return min([SHOWN_EARLY, *(0 if form.word else len(form.text) // 4 for form in begun)])

    def _longest(self, data: bytes, at: int, *, before: int | None, final: bool) -> tuple[int, str]:
        longest, name = 0, ""
        for form in self._candidates(data, at):
            if form.word and _is_word(data[at - 1] if at else before):
                continue
            end = self._end(form, data, at, final=final)
            if form.word and end == len(data) and not final:
                end = _MORE
            if end == _MORE:
                return _MORE, ""
            if form.word and 0 < end < len(data) and _is_word(data[end]):
                continue
            if end > longest:
                longest, name = end, form.name
        return longest, name

    def _candidates(self, data: bytes, at: int) -> Iterable[Form]:
        """The forms that may begin there: few, where no byte of what stands there is part of an escape."""
        run = _RUN.match(data, at)
        if run is None or run.end() - at < _ALIKE:
            return self._by_first.get(data[at], ())
        return [*self._by_head.get(run.group().translate(_FOLDED), ()), *self._by_head.get(b"", ())]

    def _end(self, form: Form, data: bytes, at: int, *, final: bool) -> int:
        """Where the form that begins at `at` ends: the furthest place, 0 for nowhere, `_MORE` if that depends."""
        if not final and len(data) - at < len(form.literal) and form.literal.startswith(data[at:]):
            return _MORE
        units = self._units_of(form)
        if data.startswith(form.literal, at):
            end = _walked(units[form.covered :], data, at + len(form.literal), wraps=not form.word, final=final)
            if end:
                return end
        return _walked(units, data, at, wraps=not form.word, final=final)

    def _units_of(self, form: Form) -> list[Unit]:
        if form not in self._units:
            self._units[form] = form.units()
        return self._units[form]


def likely(values: Mapping[str, str], texts: Iterable[bytes]) -> dict[str, str]:
    """Those of many values that may be in `texts`, at little cost: all that are, and few that are not."""
    parts: dict[int, set[str]] = {}
    found: set[str] = set()
    for name, value in values.items():
        for form in forms_of(name, value):
            part = _SURE.search(form.literal)
            if part is None:
                found.add(name)
            else:
                parts.setdefault(int.from_bytes(part.group().translate(_FOLDED), sys.byteorder), set()).add(name)
    wanted = frozenset(parts)
    for text in texts:
        for flat in {text.translate(_FOLDED), _ANY_WRAP.sub(b"", text).translate(_FOLDED)}:
            for shift in range(min(HEAD, len(flat))):
                # Eight bytes at once as a number: this is what makes it quick.
                numbers = memoryview(flat)[shift : len(flat) - (len(flat) - shift) % HEAD].cast("Q")
                found.update(*(parts[number] for number in wanted.intersection(numbers)))
    return {name: value for name, value in values.items() if name in found}


class Redactor:
    """Replaces the values of secrets in one stream."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._held = b""
        self._before: int | None = None
        self._shown = 0

    def feed(self, data: bytes) -> bytes:
        """Take more of the stream, and return what is certain by now."""
        self._held += data
        return self._let_go(final=False)

    def idle(self) -> bytes:
        """Return the first few bytes that are held back: somebody at a terminal may be waiting for them.

        Of what may become a short value nothing.
        """
        if len(self._held) > self._finder.shown_early(self._held):
            return b""
        early, self._shown = self._held[self._shown :], len(self._held)
        return early

    def finish(self) -> bytes:
        """Return the rest at the end of the stream."""
        return self._let_go(final=True)

    def _let_go(self, *, final: bool) -> bytes:
        found, known = self._finder.find(self._held, before=self._before, final=final)
        chosen, known = _settled(found, known)
        parts, done = [], 0
        for one in chosen:
            parts += [self._plain(done, one.start), f"[secret://{one.name}]".encode()]
            done = one.end
        parts.append(self._plain(done, known))
        if known:
            self._before = self._held[known - 1]
        self._held, self._shown = self._held[known:], max(0, self._shown - known)
        return b"".join(parts)

    def _plain(self, start: int, end: int) -> bytes:
        return self._held[max(start, self._shown) : end]


def _settled(found: list[Found], known: int) -> tuple[list[Found], int]:
    """Of finds that overlap the longer ones (of equal ones the earlier), and up to where this can be told.

    `known` is where finds are known up to. Only a longer one can take a place from an earlier one: so a text that is
    one find after the other is told as it comes, and nothing waits for its end.
    """
    chosen: list[Found] = []
    at = end = 0
    while at < len(found):
        if found[at].start < end:
            at += 1
            continue
        stop = _independent(found, at)
        if max(one.end for one in found[at:stop]) > known:
            return chosen, found[at].start
        chosen += _longest_first(found[at:stop])
        at, end = stop, max(end, chosen[-1].end)
    return chosen, known


def _independent(found: list[Found], at: int) -> int:
    """Up to where finds from `at` on belong together: none after it is longer than one of them that it overlaps."""
    stop, looked = at + 1, at
    while looked < stop:
        one, after = found[looked], stop
        while after < len(found) and found[after].start < one.end:
            after += 1
            if _length(found[after - 1]) > _length(one):
                stop = after
        looked += 1
    return stop


def _longest_first(group: list[Found]) -> list[Found]:
    """The longest, of what then is left the longest again, and so on, in order."""
    chosen: list[Found] = []
    for one in sorted(group, key=lambda each: (-_length(each), each.start)):
        place = bisect(chosen, one)
        if (not place or chosen[place - 1].end <= one.start) and (
            place == len(chosen) or one.end <= chosen[place].start
        ):
            chosen.insert(place, one)
    return chosen


def _length(one: Found) -> int:
    return one.end - one.start


def _is_word(byte: int | None) -> bool:
    return byte is not None and (byte >= 0x80 or byte == ord("_") or chr(byte).isalnum())


def _walked(units: list[Unit], data: bytes, start: int, *, wraps: bool, final: bool) -> int:
    """Where the units that begin at `start` end, as `Finder._end` says it."""
    places = {start}
    for unit in units:
        places, waits = _after(unit, data, places, wraps=wraps)
        if waits and not final:
            return _MORE
        if not places:
            return 0
    return max(places)


def _after(unit: Unit, data: bytes, places: set[int], *, wraps: bool) -> tuple[set[int], bool]:
    """The places after a unit that begins at one of `places`, and whether `data` ends in the midst of one."""
    after: set[int] = set()
    waits = False
    for place in places:
        for spelling in unit:
            end = place + len(spelling)
            if data.startswith(spelling, place):
                after.add(end)
            if end > len(data) or (wraps and _BREAK.search(data, place, end)):
                further, waiting = _after_wrapped(spelling, data, place, wraps=wraps)
                after |= further
                waits |= waiting
    return after, waits


def _after_wrapped(spelling: bytes, data: bytes, place: int, *, wraps: bool) -> tuple[set[int], bool]:
    """As `_after`, for one spelling at one place, byte by byte."""
    now = {place}
    waits = False
    for byte in spelling:
        if wraps:
            now = now | {at + len(wrap) for at in now for wrap in _WRAPS if data.startswith(wrap, at)}
            waits |= any(wrap.startswith(data[at : at + 8]) for at in now for wrap in _WRAPS)
        waits |= len(data) in now
        now = {at + 1 for at in now if data[at : at + 1] == bytes([byte])}
    return now, waits


def _head(units: list[Unit], *, wraps: bool) -> bytes:
    """A pattern for the first units."""
    between = b"(?:%s)?" % spelled(_WRAPS) if wraps else b""
    return between.join(spelled(unit, between) for unit in units)
