"""How a value looks in text: as it is, escaped, percent-encoded, quoted for a shell, in base64 and in hexadecimal.

Always: pure; a form is a row of units, and a unit is all the ways in which one of its places may be spelled.
`redaction` finds them.
"""

import base64
import re
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

Unit: TypeAlias = tuple[bytes, ...]

SHORT: Final = 6
"""A value of fewer characters is found as a whole word only, and not across line breaks."""

LINE: Final = 12
"""Each line of so many characters of a value of several lines is found by itself."""

_ARMOR: Final = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")
"""A line that every key has (RFC 7468), and that tells nothing."""

_AMBIGUOUS: Final = re.compile(r"[\\']")
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class Form(NamedTuple):
    """One form of the value `text` (or of a line of it) of the secret `name`.

    `literal` is how programs usually spell the first `covered` of its units. `word`: a whole word only.
    """

    name: str
    text: str
    kind: str
    literal: bytes
    covered: int
    word: bool = False

    def __repr__(self) -> str:
        return f"Form({self.name!r}, {self.kind!r})"

    def units(self, limit: int | None = None) -> list[Unit]:
        """The units, or the first `limit` of them."""
        if self.kind == "escaped":
            return [_ESCAPED[ord(c)] if c < "\x80" else _wide(c) for c in islice(self.text, limit)]
        if self.kind == "hex":
            text = self.text if limit is None else self.text[:limit]
            return [_HEX[digit] for digit in text.encode().hex()[:limit]]
        return _base64_units(self.text.encode(), int(self.kind), limit)


def forms_of(name: str, value: str) -> list[Form]:
    """Every form in which the value of a secret is looked for."""
    text = value.rstrip("\r\n") or value  # what prints a value often drops the newline at its end
    raw = text.encode()
    word = len(text) < SHORT
    found = [_escaped(name, text, word=word)]
    for skipped in (0,) if word else (0, 1, 2):
        literal = _base64_core(raw, skipped)
        found.append(Form(name, text, str(skipped), literal, len(literal), word=word))
    found.append(Form(name, text, "hex", raw.hex().encode(), 2 * len(raw), word=word))
    lines = {line.strip() for line in text.splitlines()} - {text}
    found += [_escaped(name, line) for line in sorted(lines) if len(line) >= LINE and not _ARMOR.fullmatch(line)]
    return found


def _escaped(name: str, text: str, *, word: bool = False) -> Form:
    # Without the last character, and up to one of which one spelling begins like another: all have to be tried.
    literal = _AMBIGUOUS.split(text[:-1], maxsplit=1)[0]
    return Form(name, text, "escaped", literal.encode(), len(literal), word=word)


_JSON_LETTERS: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_LETTERS: Final = {**_JSON_LETTERS, "\x1b": "Ee", "\a": "a", "\v": "v"}
"""Letters of escapes in $'…' (IEEE 1003.1-2024, Shell, 2.2.4)."""


def _spellings(character: str) -> Unit:
    """An ASCII character in plain text, URLs, JSON (also JSON within JSON) and shells."""
    byte = ord(character)
    found = [character]
    if not character.isalnum():
        found += [f"%{byte:02X}", f"%{byte:02x}"]
        escape = _JSON_LETTERS.get(character, character)
        unicode = [f"u{byte:04x}", f"u{byte:04X}"]
        found += [f"{slashes}{escaped}" for slashes in ("\\", "\\\\") for escaped in (*unicode, escape)]
        found += [f"\\{character}"] if character != "\n" else []
        if byte < 0x20 or byte == 0x7F:
            codes = [f"{byte:03o}", f"x{byte:02x}", f"x{byte:02X}", f"C-{chr(byte ^ 0x40)}"]
            found += _in_dollar_quotes([*codes, *_LETTERS.get(character, "")])
    more = {
        " ": ["+"],
        "\n": ["\r\n", "%0D%0A", "%0d%0a", "\\r\\n", "\\\\r\\\\n"],
        '"': ['\\\\\\"'],
        "\\": ["\\\\\\\\"],
        # In 'quotes' each by itself, or several in one pair of "quotes"; at their beginning, end, or both.
        "'": ["'\\''", "'\"'\"'", "'\\'", "\\''", "'\"'", "'\"'"],
    }
    return tuple(dict.fromkeys(one.encode() for one in found + more.get(character, [])))


def _in_dollar_quotes(codes: list[str]) -> list[str]:
    """Escapes as shells print them inside $'…', and such a $'…' between 'quotes': all of it, its beginning, its end."""
    found = []
    for code in codes:
        escape = f"\\{code}"
        found += [escape, f"'$'{escape}''", f"'$'{escape}", f"{escape}''", f"$'{escape}'"]
    return found


_ESCAPED: Final = tuple(_spellings(chr(byte)) for byte in range(128))


def _wide(character: str) -> Unit:
    """A character beyond ASCII, in UTF-8, percent-encoded, or escaped as JSON (RFC 8259, section 7) and shells do."""
    raw = character.encode()
    two = character.encode("utf-16-be")
    escaped = "".join(f"\\u{two[i]:02x}{two[i + 1]:02x}" for i in range(0, len(two), 2))
    upper = escaped.upper().replace("\\U", "\\u")
    percent = "".join(f"%{byte:02X}" for byte in raw)
    codes = ["\\".join(form.format(byte) for byte in raw) for form in ("{:03o}", "x{:02x}", "x{:02X}")]
    spelled = [escaped, upper, escaped.replace("\\", "\\\\"), percent, percent.lower()]
    return tuple(dict.fromkeys([raw, *(one.encode() for one in spelled + _in_dollar_quotes(codes))]))


def _base64_core(raw: bytes, skipped: int) -> bytes:
    """The base64 characters (RFC 4648, section 4) that `raw` alone decides where `skipped` bytes stand before it."""
    encoded = base64.b64encode(bytes(skipped) + raw)
    return encoded[-(-8 * skipped // 6) : 8 * (skipped + len(raw)) // 6]


def _base64_units(raw: bytes, skipped: int, limit: int | None) -> list[Unit]:
    """The characters of base64 or base64url, with the last one that holds bits of what follows, too.

    The first one that does (of the last byte before, and at most four bits of the value) stays as it is.
    """
    part = raw if limit is None else raw[:limit]
    units = [_BASE64[byte] for byte in _base64_core(part, skipped)]
    bits = 8 * (skipped + len(part)) % 6
    if bits and limit is None:
        high = raw[-1] & ((1 << bits) - 1)
        numbers = range(high << (6 - bits), (high + 1) << (6 - bits))
        units.append(tuple(spelling for number in numbers for spelling in _BASE64[_ALPHABET[number]]))
        units.append((b"", b"==" if bits == 2 else b"="))
    return units[:limit]


def _spelled_in_base64(byte: int) -> Unit:
    if byte == ord("+"):
        return (b"+", b"-", b"%2B", b"%2b")
    if byte == ord("/"):
        return (b"/", b"_", b"\\/", b"%2F", b"%2f")
    return (bytes([byte]),)


_BASE64: Final = {byte: _spelled_in_base64(byte) for byte in _ALPHABET}
_HEX: Final[dict[str, Unit]] = {d: tuple(sorted({d.encode(), d.upper().encode()})) for d in "0123456789abcdef"}
