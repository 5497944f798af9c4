"""Views of a text: the text with escapes decoded, and with colours, line breaks and quotes removed.

Always: the module is pure and takes linear time. Each position in a view can be traced to a position in the original
text. The values are decoded in the same way as the text, so an ambiguous escape is decoded alike in both.
"""

import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Final

_PASSES: Final = 4
"""How often a text is decoded: three times for percent-encoding inside JSON inside HTML, and once more."""

_END: Final = 200
_COLOUR_END: Final = 600
"""The maximum bytes of an unfinished escape (`_END`) and of an unfinished terminal sequence (`_COLOUR_END`)."""

_COLOUR: Final = rb"(?:\[[0-9:;<=>?]{0,32}[ -/]{0,4}[@-~]|\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)|[()][0-9A-Z]|[78=>DEHM])"
"""The bytes after ESC in terminal sequences: colours, cursor moves, titles, links (ECMA-48; xterm's sequences)."""

INDENT: Final = rb"[ \t]{0,120}(?:(?:>|(?:[#*|]|//)(?=[ \t]))[ \t]{0,8}){0,8}"
"""The beginning of a wrapped line: blanks, and marks of quotations and comments."""

# Each pattern begins with a character set, which makes the search for the next match quick.
_STRIPPED: Final = re.compile(rb"[\x1b\0](?:(?<=\0)|(?<=\x1b)" + _COLOUR + rb")")
_TURNED: Final = re.compile(rb"[\x1b\0 ](?:(?<= )(?:\x08|\r(?!\n))|(?<=\0)|(?<=\x1b)" + _COLOUR + rb")")
"""`_STRIPPED`, and the bytes with which terminal programs continue on the next line."""

_GAPS: Final = rb"(?<=\n)" + INDENT + rb"|(?<=\r)\n" + INDENT + rb"|(?<=\0)|(?<=\x1b)" + _COLOUR
_CONTINUED: Final = rb"|(?<=\\)(?<!\\\\)\\*+\r?\n" + INDENT
_MEANING: Final = (
    rb"|(?<=\\)(?<!\\\\)\\*+(u[dD][89abAB][0-9a-fA-F]{2}\\+u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|u\{[0-9a-fA-F]{1,6}\}"
    rb"|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|[0-7]{3}|C-[?-_a-z]|[abefnrtvE])"
    rb"|(?<=%)(?:25)*([0-9a-fA-F]{2})"
    rb"|(?<=&)(?:amp;)*(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});)"
)
_WRAPS: Final = {
    False: re.compile(rb"[\x1b\0\r\n](?:" + _GAPS + rb")"),
    True: re.compile(rb"[\x1b\0\r\n\\](?:" + _GAPS + _CONTINUED + rb")"),
}
_ESCAPES: Final = {
    False: re.compile(rb"[\x1b\0\\\r\n%&](?:" + _GAPS + _MEANING),
    True: re.compile(rb"[\x1b\0\\\r\n%&](?:" + _GAPS + _CONTINUED + _MEANING),
}
_BLANKS: Final = re.compile(rb"[ \t]+")
_QUOTES: Final = re.compile(rb"['\"\\$](?:(?<=\$)(?=\\*')|(?<!\$)['\"\\]*)")
_UNFINISHED: Final = re.compile(
    rb"[\\%&\x1b$\r\n](?:(?:(?<=\\)(\\*(?:u[dD][89abAB][0-9a-fA-F]{2}(?:\\+(?:u[0-9a-fA-F]{0,3})?)?|u[0-9a-fA-F]{0,3}"
    rb"|u\{[0-9a-fA-F]{0,6}|U[0-9a-fA-F]{0,7}|x[0-9a-fA-F]?|[0-7]{1,2}|C-?)?)"
    rb"|(?<=%)([0-9a-fA-F]?)|(?<=&)(#?[0-9A-Za-z]{0,31}))(?:\r?\n[ \t>#*|/]{0,160}|\r)?"
    rb"|(?<=\x1b)(?:\[[0-9:;<=>?]{0,32}[ -/]{0,4}|\][^\x07\x1b]{0,512}\x1b?|[()])?"
    rb"|(?<=\$)(\\*)|(?<=\r)"
    rb"|(?:(?<=\n)|(?<=\r)\n)(?:([ \t>]{0,120}[#*|/][ \t>#*|/]{0,40})|[ \t>]{0,160}))\Z"
)
_UNFINISHED_COLOUR: Final = re.compile(
    rb"\x1b(?:\[[0-9:;<=>?]{0,32}[ -/]{0,4}|\][^\x07\x1b]{0,512}\x1b?|[()])?\Z| \r?\Z"
)
_HEXADECIMAL: Final = re.compile(rb"[0-9a-fA-F]+")
_CONTROLS: Final = {b"a": 7, b"b": 8, b"e": 27, b"E": 27, b"f": 12, b"n": 10, b"r": 13, b"t": 9, b"v": 11}

_AT_END_OF_LINE: Final = re.compile(rb"\\\r?\n")
_PRINTABLE: Final = re.compile(rb"=([0-9a-fA-F]{2})|=[ \t]{0,8}\r?\n")
_UNFINISHED_PRINTABLE: Final = re.compile(rb"(=(?:[0-9a-fA-F]|[ \t]{0,8}\r?)?)\Z")

_COLOURS: Final = re.compile(rb"\x1b" + _COLOUR)
_RENDITION: Final = re.compile(rb"\x1b\[[0-9;:]{0,32}m")


class View:
    """A text that was made from the view `below`. A view without `below` is the original text, called bottom text.

    `loose` is the position in the bottom text of an unfinished escape at the end, which more data may complete.
    """

    def __init__(self, text: bytes, below: "View | None" = None, loose: int | None = None) -> None:
        self.text = text
        self.below = below
        self.loose = loose
        # For each piece: its start here, its start in the view below and, if it was decoded, its end in the view below.
        self._at, self._starts, self._ends = [0], [0], [0]

    def start(self, place: int) -> int:
        """Return the position in the bottom text where the character at `place` begins."""
        if self.below is None:
            return place
        number = bisect_right(self._at, place) - 1
        inside = 0 if self._ends[number] else place - self._at[number]
        return self.below.start(self._starts[number] + inside)

    def end(self, place: int) -> int:
        """Return the position in the bottom text where the character before `place` ends."""
        if self.below is None:
            return place
        number = bisect_left(self._at, place) - 1
        return self.below.end(self._ends[number] or self._starts[number] + place - self._at[number])

    def replaced(self, tokens: re.Pattern[bytes], meaning: Callable[[re.Match[bytes]], bytes]) -> "View":
        """Return a view in which the meaning replaces each match of `tokens`; return this view if nothing matches."""
        parts, at, starts, ends = list[bytes](), list[int](), list[int](), list[int]()
        out = done = 0
        for token in tokens.finditer(self.text):
            start, end = token.span()
            if start > done:
                at.append(out)
                starts.append(done)
                ends.append(0)
                parts.append(self.text[done:start])
                out += start - done
            said = meaning(token)
            if said:
                at.append(out)
                starts.append(start)
                ends.append(end)
                parts.append(said)
                out += len(said)
            done = end
        if not done:
            return self
        made = View(b"".join([*parts, self.text[done:]]), self, self.loose)
        made._at, made._starts, made._ends = [*at, out], [*starts, done], [*ends, 0]
        return made

    def cut(self, unfinished: re.Pattern[bytes]) -> "View":
        """Return a view without the unfinished token at the end; return this view if there is no such token."""
        size = len(self.text)
        begin, colour = max(0, size - _END), self.text.rfind(b"\x1b", max(0, size - _COLOUR_END))
        match = unfinished.search(self.text, begin if colour < 0 else min(begin, colour))
        if match is None:
            return self
        begun = [] if match.lastindex is None else [self.start(match.start())]
        known = [*begun, *([] if self.loose is None else [self.loose])]
        return View(self.text[: match.start()], self, min(known, default=None))

    def lower(self) -> "View":
        """Return this view in lower case."""
        return View(self.text.lower(), self, self.loose)


def stripped(text: bytes, *, final: bool = True) -> View:
    """Return a view of a text without colours and NULs. This turns ASCII in UTF-16 (either byte order) into ASCII."""
    view = View(text)
    tokens = _TURNED if b" \x08" in text or b" \r" in text else _STRIPPED
    turns = not final and text.endswith((b" ", b" \r"))
    if not turns and tokens is _STRIPPED and b"\x1b" not in text and b"\0" not in text:
        return view
    return (view if final else view.cut(_UNFINISHED_COLOUR)).replaced(tokens, nothing)


def folded(view: View) -> View:
    """Return a view without blanks, because folding a text replaces some blanks with line breaks."""
    return view.replaced(_BLANKS, nothing)


def _known(view: View, *, final: bool) -> View:
    return view if final else view.cut(_UNFINISHED)


def unwrapped(view: View, *, final: bool = True, continued: bool = True) -> View:
    """Return a view without line breaks and quotes. If not `final`, an unfinished token at the end is removed, too.

    If `continued`, a backslash at the end of a line belongs to the line break; otherwise it begins an escape that the
    line break splits.
    """
    return _known(view, final=final).replaced(_WRAPS[continued], nothing).replaced(_QUOTES, nothing)


def decoded(view: View, *, final: bool = True, continued: bool = True) -> View:
    """Return a view like that of `unwrapped`, and with the escapes of JSON, URLs, HTML, XML and shells decoded."""
    view = _known(view, final=final).replaced(_WRAPS[continued], nothing)
    for _ in range(_PASSES):
        source = _known(view, final=final)
        view = source.replaced(_ESCAPES[continued], _meaning)
        if view is source:
            break
    return _known(view, final=final).replaced(_QUOTES, nothing)


def without_escapes(text: bytes) -> bytes:
    """Return a text in which each possible escape is replaced with blanks."""
    while (blanked := _ESCAPES[True].sub(lambda token: b" " * len(token[0]), text)) != text:
        text = blanked
    return text


def every_decoded(view: View, *, final: bool = True) -> Iterator[View]:
    """Decode a view in each plausible way, and yield the results."""
    yield decoded(view, final=final)
    if has_escapes(view.text):  # the text may only look escaped
        yield unwrapped(view, final=final)
    if _AT_END_OF_LINE.search(view.text):
        yield decoded(view, final=final, continued=False)
    quoted = printable(view, final=final)
    if quoted is not view:
        yield decoded(quoted, final=final)


def printable(view: View, *, final: bool = True) -> View:
    """Return a view with quoted-printable decoded (RFC 2045, section 6.7)."""
    if b"=" not in view.text:
        return view
    view = view if final else view.cut(_UNFINISHED_PRINTABLE)
    return view.replaced(_PRINTABLE, _of_printable)


def texts_of_decoded(text: bytes) -> Iterator[bytes]:
    """Yield the decoded texts of `every_decoded`, but with their quotes. This function is quicker."""
    for meant in {text, _PRINTABLE.sub(_of_printable, text)}:
        yield _text_of_decoded(meant, continued=True)
        if _AT_END_OF_LINE.search(meant):
            yield _text_of_decoded(meant, continued=False)


def _text_of_decoded(text: bytes, *, continued: bool) -> bytes:
    text = _WRAPS[continued].sub(b"", _STRIPPED.sub(b"", text))
    for _ in range(_PASSES):
        before, text = text, _ESCAPES[continued].sub(_meaning, text)
        if text == before:
            break
    return text


def has_escapes(text: bytes) -> bool:
    """Whether a text may contain an escape."""
    return b"\\" in text or b"%" in text or b"&" in text


def colours(text: bytes) -> Iterator[int]:
    """Yield the positions of terminal colours and similar sequences in a text."""
    return (match.start() for match in _COLOURS.finditer(text))


def without_colours(text: bytes) -> bytes:
    """Return a text without terminal colours and similar sequences."""
    return _COLOURS.sub(b"", text)


def renditions(text: bytes) -> bytes:
    """Return only those terminal sequences of a text that turn colours and similar attributes on or off."""
    return b"".join(_RENDITION.findall(text))


def _of_printable(token: re.Match[bytes]) -> bytes:
    return bytes.fromhex(token[1].decode()) if token[1] else b""


def nothing(_token: re.Match[bytes]) -> bytes:
    """Return no bytes, so that the token is removed."""
    return b""


def _meaning(token: re.Match[bytes]) -> bytes:
    kind = token.lastindex
    if kind is None:
        return b""
    text = token[kind]
    if kind == 1:
        return _of_backslash(text)
    if kind == 2:
        return bytes.fromhex(text.decode())
    if text[:1] == b"#":
        digits, base = (text[2:], 16) if text[1:2] in b"xX" else (text[1:], 10)
        return _character(int(digits, base))
    import html

    return html.unescape(f"&{text.decode()};").encode()


def _character(code: int) -> bytes:
    return chr(code).encode("utf-8", "surrogatepass") if code <= sys.maxunicode else b""


def _of_backslash(text: bytes) -> bytes:
    """Return the meaning of a backslash escape. `text` is the escape without its backslashes."""
    letter = text[:1]
    if letter in b"uU":
        codes = [int(digits, 16) for digits in _HEXADECIMAL.findall(text)]
        code = codes[0] if len(codes) == 1 else 0x10000 + (codes[0] - 0xD800) * 0x400 + codes[1] - 0xDC00
        return _character(code)
    if letter == b"x":
        return bytes.fromhex(text[1:].decode())
    if letter == b"C":
        return b"\x7f" if text == b"C-?" else bytes([text[2] & 0x1F])
    if letter.isdigit():
        return bytes([int(text, 8) & 0xFF])
    return bytes([_CONTROLS[letter]])
