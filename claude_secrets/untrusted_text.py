"""Text of strangers made fit to be shown: one line, nothing invisible, nothing that turns the reading direction.

Always: pure; nothing that comes out holds a control, format, surrogate, private or unassigned character.
"""

import unicodedata
from typing import Final


def plain(text: str, *, limit: int | None = None, mark: str = "") -> str:
    """Return `text` on one line, with each hidden character replaced by `mark` (nothing, unless told).

    White space of any kind becomes a single space. `limit`, in characters, is where the text is cut, with an
    ellipsis for the rest. Paths want a visible `mark`: no path may look like another one.
    """
    shown = "".join(_shown(character, mark) for character in text)
    shown = " ".join(shown.split())
    if limit is not None and len(shown) > limit:
        return shown[:limit].rstrip() + "…"
    return shown


def shortened(path: str, limit: int = 80) -> str:
    """A path of at most `limit` characters: both its ends, and an ellipsis for what is left out in its middle."""
    if len(path) <= limit:
        return path
    end = (limit - 1) * 2 // 3
    return f"{path[: limit - 1 - end]}…{path[-end:]}"


def quoted(text: str, *, limit: int | None = None, mark: str = "") -> str:
    """`plain` text in quotation marks that nothing inside it can end, for what somebody else wrote."""
    inner = "".join(_inside(character, mark) for character in text)
    return f"“{plain(inner, limit=limit, mark=mark)}”"


_MARKS: Final = frozenset('“”„‟"«»\uff02')
_BLANKS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters that look like nothing, with which one line can be made to look like two."""


def _inside(character: str, mark: str) -> str:
    if character in _MARKS:
        return mark or "'"
    return (mark or " ") if character in _BLANKS else character


def _shown(character: str, mark: str) -> str:
    if character.isspace():
        return " "
    # C*: control, format (bidi, zero width), surrogate, private use, unassigned.
    return mark if unicodedata.category(character).startswith("C") else character
