"""Finds values in a stream of bytes, in every form of `forms`.

Always: pure; linear for any values and any text. A plain value is found however the stream is cut. An encoded value is
found, too, unless the text before it looks like the start of an escape. This protects against accidents only: someone
who chooses the program can write a value in a form that is not searched for.
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
"""Bytes that contain the first `REACH` bytes of a form: usually, and if it is escaped, coloured and wrapped."""

_DUMP_WINDOW: Final = 400
"""The same for a dump."""

_EIGHT: Final = 8


class Found(NamedTuple):
    """A value of the secret `name` in `data[start:end]`."""

    start: int
    end: int
    name: str


class Finder:
    """Finds the values of secrets, given by name."""

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
        """Return the finds, in order, and the place from which on nothing is certain until more data comes.

        `before` is the byte before `data`; `final`: no data comes after it. All overlapping finds are returned, but
        those of one form are merged into one.
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
        """Whether `data`, which may be the start of a value, is so short that it is probably a coincidence.

        That is: fewer than six characters, and at most a third of a value.
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
        """Return the forms that may be in `data`: all that are in it, and few others."""
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
            kind: _Beginnings(text for form in self._forms if form.kind is kind for text in form.texts)
            for kind in FormKind
        }

    def _ends(self, data: bytes) -> Iterator[tuple[View, "_Beginnings", int]]:
        """Yield the views of the end of `data` where a form may begin, the forms' texts, and where the end begins."""
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
        """Return where the first form begins that may be unfinished at the end of `data`."""
        begun = len(data)
        for view, texts, base in self._ends(data):
            known = texts.known(view.text)
            places = [view.start(len(view.text) - known)] if known else []
            begun = min([begun, *(base + place for place in (*places, view.loose) if place is not None)])
        return min([begun, *(len(data) - known for known in self._begun_words(data, before))])

    def _begun_words(self, data: bytes, before: int | None) -> Iterator[int]:
        """Yield how many bytes at the end of `data` may be the beginning of a word, or the whole word."""
        for known in self._begin[FormKind.WORD].all_known(data, whole=True):
            start = len(data) - known
            if not _is_word(data[start - 1] if start else before):
                yield known


class _Beginnings:
    """The beginnings of many texts."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._texts = sorted(set(texts))
        self._first = {text[0] for text in self._texts}

    def __bool__(self) -> bool:
        return bool(self._texts)

    def known(self, data: bytes) -> int:
        """Return how many bytes (at most `REACH`) at the end of `data` begin a longer text."""
        return next(self.all_known(data), 0)

    def all_known(self, data: bytes, *, whole: bool = False) -> Iterator[int]:
        """Yield all such numbers, the highest first; `whole`: also those of whole texts."""
        for known in range(min(len(data), REACH), 0, -1):
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
    """The views of some data, each made when it is needed."""

    def __init__(self, data: bytes, *, final: bool) -> None:
        self._data = data
        self._final = final

    def views(self, kind: FormKind) -> tuple[View, ...]:
        """Return the views in which forms of this kind are looked for."""
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
    """Return where in `data` a find ends, with its padding or dump line; None if that needs more data."""
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
        if rest == form.padding and in_a_row:  # not after a line break, where something else may begin
            end += len(rest)
        elif not final and end + len(rest) == len(text) and form.padding.startswith(rest):
            return None
    return view.end(end)


def likely(values: Mapping[str, str], texts: Iterable[bytes]) -> dict[str, str]:
    """Return the values that may be in `texts`, at little cost: all that are in them, and few others."""
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
