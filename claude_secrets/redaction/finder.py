"""Finds values in a stream of bytes, in every form that the module `forms` makes.

Always: the module is pure and takes linear time for any values and any text. A plain value is found no matter where
the stream is split. An encoded value is also found, except when the text before it looks like the start of an escape.
The search protects only against accidents: someone who chooses the program can make it write a value in another form.
"""

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain, islice, takewhile
from typing import Final, NamedTuple

from claude_secrets.redaction import hex_dumps, views
from claude_secrets.redaction.forms import REACH, SHORT, Form, FormKind, forms_of
from claude_secrets.redaction.matching import Needle
from claude_secrets.redaction.prefilter import flats
from claude_secrets.redaction.views import View
from claude_secrets.regex import ByteStrings

_WINDOWS: Final = (256, 1280)
"""How many bytes contain the first `REACH` bytes of a form: usually, and if it is escaped, coloured and wrapped."""

_DUMP_WINDOW: Final = 400
"""How many bytes of a hexadecimal dump contain the first `REACH` bytes of a form."""

_EIGHT: Final = 8


class Found(NamedTuple):
    """A value of the secret `name` in `data[start:end]`."""

    start: int
    end: int
    name: str


class Finder:
    """Finds secrets' values in data. `values` maps each secret's name to its value."""

    def __init__(self, values: Mapping[str, str]) -> None:
        forms = [form for name in sorted(values) for form in forms_of(name, values[name])]
        self._always = [form for form in forms if not form.probes and form.kind is not FormKind.WORD]
        self._by_probe: dict[bytes, list[Form]] = {}
        for form in forms:
            for probe in form.probes:
                self._by_probe.setdefault(probe, []).append(form)
        self._probes = ByteStrings(self._by_probe)
        words = [form for form in forms if form.kind is FormKind.WORD]
        self._names = {text: form.name for form in words for text in form.texts}
        self._words = ByteStrings(self._names)
        self._forms = forms
        self._needles: dict[bytes, Needle] = {}

    def find(self, data: bytes, *, before: int | None, final: bool) -> tuple[list[Found], int]:
        """Return all matches, in order, and the position up to which they are certain.

        After that position, more data may change the result. `before` is the byte before `data`, and `final` means that
        no data follows. Overlapping matches of one form are merged; overlapping matches of different forms are not.
        """
        looked = _Looked(data, final=final)
        finds, known = self._whole_words(data, before, final=final)
        for form in self._candidates(data):
            for view in looked.views(form.kind):
                more, begun = self._in_view(form, view, data, final=final)
                finds += more
                known = min(known, begun)
        if not final:
            known = min(known, self._begun(data, before))
        return sorted(set(finds), key=lambda one: (one.start, -one.end, one.name)), known

    def is_chance(self, data: bytes, *, before: int | None) -> bool:
        """Whether `data` looks like the start of a value, but probably by coincidence.

        A coincidence is assumed if fewer than six characters match and they are at most a third of the value.
        """
        ends = [(texts, view.text, texts.all_known(view.text)) for view, texts, _ in self._ends(data)]
        ends.append((self._begin[FormKind.WORD], data, self._begun_words(data, before)))
        if any(
            known >= SHORT or 3 * known > texts.shortest(text[-known:])
            for texts, text, numbers in ends
            for known in numbers
        ):
            return False
        looked = _Looked(data, final=False)
        return not any(
            finds or known < (len(data) if view.loose is None else view.loose)
            for form in self._candidates(data)
            for view in looked.views(form.kind)
            for finds, known in (self._in_view(form, view, data, final=False),)
        )

    def _candidates(self, data: bytes) -> list[Form]:
        """Return all forms that are in `data`, and possibly a few forms that are not."""
        forms = dict.fromkeys(self._always)
        for text in flats(data):
            for probe in self._probes.within(text):
                forms.update(dict.fromkeys(self._by_probe[probe]))
        return list(forms)

    def _in_view(self, form: Form, view: View, data: bytes, *, final: bool) -> tuple[list[Found], int]:
        finds, known = [], len(data) if view.loose is None else view.loose
        for text in form.texts:
            needle = self._needles.setdefault(text, Needle(text))
            for start, end in needle.runs(view.text):
                stop = _stop(form, view, data, start, end, final=final)
                if stop is None:
                    known = min(known, view.start(start))
                else:
                    finds.append(Found(view.start(start), stop, form.name))
            if not final and (begun := needle.begun(view.text)) < len(view.text):
                known = min(known, view.start(begun))
        return finds, known

    def _whole_words(self, data: bytes, before: int | None, *, final: bool) -> tuple[list[Found], int]:
        finds, known = list[Found](), len(data)
        for at, text in self._words.places(data):
            end = at + len(text)
            if not _is_word(data[at - 1] if at else before):
                if end == len(data) and not final:
                    known = min(known, at)
                elif end == len(data) or not _is_word(data[end]):
                    finds.append(Found(at, end, self._names[text]))
        return finds, known

    @cached_property
    def _begin(self) -> dict[FormKind, "_Beginnings"]:
        return {
            kind: _Beginnings(
                (text for form in self._forms if form.kind is kind for text in form.texts),
                reach=None if kind is FormKind.WORD else REACH,
            )
            for kind in FormKind
        }

    def _ends(self, data: bytes) -> Iterator[tuple[View, "_Beginnings", int]]:
        """Yield views of the end of `data`, in which the beginning of a form may be.

        Each view comes with the texts whose prefixes it may end with, and with its offset in `data`.
        """
        for size in _WINDOWS:
            base = max(0, len(data) - size)
            bare = views.stripped(data[base:], final=False)
            seen = [View(data[base:]), *views.every_decoded(bare, final=False)]
            if not base or all(len(view.text) > 2 * REACH for view in seen):
                break
        for view in seen:
            yield view, self._begin[FormKind.TEXT], base
        for view in seen[1:] if self._begin[FormKind.FOLDED] else ():
            yield views.folded(view), self._begin[FormKind.FOLDED], base
        base = max(0, len(data) - _DUMP_WINDOW)
        bare = views.stripped(data[base:], final=False)
        for view in hex_dumps.every_reading(bare, final=False):
            yield view, self._begin[FormKind.NUMBERS], base

    def _begun(self, data: bytes, before: int | None) -> int:
        """Return the start of the first form that may be cut off at the end of `data`."""
        begun = len(data)
        for view, texts, base in self._ends(data):
            known = texts.known(view.text)
            places = [view.start(len(view.text) - known)] if known else []
            begun = min([begun, *(base + place for place in (*places, view.loose) if place is not None)])
        return min([begun, *(len(data) - known for known in self._begun_words(data, before))])

    def _begun_words(self, data: bytes, before: int | None) -> Iterator[int]:
        """Yield the length of each suffix of `data` that is a WORD form or a prefix of a WORD form."""
        for known in self._begin[FormKind.WORD].all_known(data, whole=True):
            start = len(data) - known
            if not _is_word(data[start - 1] if start else before):
                yield known


class _Beginnings:
    """Recognises prefixes of many texts at the end of data. If `reach` is not None, longer prefixes do not count."""

    def __init__(self, texts: Iterable[bytes], reach: int | None) -> None:
        self._texts = sorted(set(texts))
        longest = max(map(len, self._texts), default=0)
        self._reach = longest if reach is None else min(longest, reach)
        self._first = {text[0] for text in self._texts}

    def __bool__(self) -> bool:
        return bool(self._texts)

    def known(self, data: bytes) -> int:
        """Return the size of the longest suffix of `data` that is a proper prefix of a text, or 0."""
        return next(self.all_known(data), 0)

    def all_known(self, data: bytes, *, whole: bool = False) -> Iterator[int]:
        """Yield the length of each suffix of `data` that is a proper prefix of a text, the longest first.

        If `whole`, a suffix that is a complete text is included.
        """
        for known in range(min(len(data), self._reach), 0, -1):
            if data[-known] in self._first:
                begin = data[-known:]
                place = bisect_left(self._texts, begin) if whole else bisect_right(self._texts, begin)
                if place < len(self._texts) and self._texts[place].startswith(begin):
                    yield known

    def shortest(self, begin: bytes) -> int:
        """Return the length of the shortest text that begins with `begin`."""
        place = bisect_left(self._texts, begin)
        return min(
            len(text) for text in takewhile(lambda text: text.startswith(begin), islice(self._texts, place, None))
        )


class _Looked:
    """The views of `data`. A view is made when it is first needed."""

    def __init__(self, data: bytes, *, final: bool) -> None:
        self._data = data
        self._final = final

    def views(self, kind: FormKind) -> tuple[View, ...]:
        """Return the views in which forms of this kind are searched for."""
        if kind is FormKind.NUMBERS:
            return self._numbers
        return self._folded if kind is FormKind.FOLDED else self._texts

    @cached_property
    def _bare(self) -> View:
        return views.stripped(self._data, final=self._final)

    @cached_property
    def _texts(self) -> tuple[View, ...]:
        return (View(self._data), *views.every_decoded(self._bare, final=self._final))

    @cached_property
    def _folded(self) -> tuple[View, ...]:
        return tuple(views.folded(view) for view in self._texts[1:])

    @cached_property
    def _numbers(self) -> tuple[View, ...]:
        return tuple(hex_dumps.every_reading(self._bare, final=self._final))


def _stop(form: Form, view: View, data: bytes, start: int, end: int, *, final: bool) -> int | None:
    """Return the position in `data` where a match ends, including its padding or the rest of its dump line.

    Return None if more data is needed to decide this.
    """
    text = view.text
    if form.kind is FormKind.NUMBERS:
        stop = view.end(end)
        in_a_row = stop - view.start(start) == end - start
        return (
            stop
            if in_a_row
            else hex_dumps.end_of_line(data, stop, bytes.fromhex(text[end - 2 : end].decode()), final=final)
        )
    if form.last and end == len(text):
        return view.end(end) if final else None
    if form.last and text[end] in form.last:
        end += 1
        rest = text[end : end + len(form.padding)]
        in_a_row = all(view.start(place) == view.end(place) for place in range(end, end + len(rest)))
        if rest == form.padding and in_a_row:  # after a line break, `=` may be another text
            end += len(rest)
        elif not final and end + len(rest) == len(text) and form.padding.startswith(rest):
            return None
    return view.end(end)


def likely(values: Mapping[str, str], texts: Iterable[bytes]) -> dict[str, str]:
    """Quickly return all values that are in `texts`, and possibly a few values that are not."""
    every = [flat for text in texts for flat in flats(text)]
    parts: dict[int, set[str]] = {}
    candidates: set[str] = set()
    for name, value in values.items():
        for form in forms_of(name, value):
            if not form.probes:
                candidates.add(name)
            for probe in form.probes:
                if len(probe) == _EIGHT:
                    parts.setdefault(int.from_bytes(probe, sys.byteorder), set()).add(name)
                elif any(probe in flat for flat in every):
                    candidates.add(name)
    wanted = frozenset(parts)
    for flat in every:
        for shift in range(min(_EIGHT, len(flat))):
            # Comparing eight bytes at once, as a number, makes this quick.
            numbers = memoryview(flat)[shift : len(flat) - (len(flat) - shift) % _EIGHT].cast("Q")
            candidates.update(chain.from_iterable(parts[number] for number in wanted.intersection(numbers)))
    return {name: value for name, value in values.items() if name in candidates}


def _is_word(byte: int | None) -> bool:
    return byte is not None and (byte >= 0x80 or byte == ord("_") or chr(byte).isalnum())
