"""Make untrusted text safe to show: on one line, without invisible characters or changes of the reading direction.

Always: this module does no input or output. No result contains a control, format, surrogate, private or unassigned
character.
"""

import unicodedata
from typing import Final


def plain(text: str, *, limit: int | None = None, mark: str = "") -> str:
    """Return `text` on one line, with each invisible character replaced by `mark`, or removed if `mark` is empty.

    A run of white space becomes one space. Text beyond `limit` characters is replaced by an ellipsis. For a path, pass
    a visible `mark`, so that invisible characters cannot make two paths look the same.
    """
    shown = "".join(_shown(character, mark) for character in text)
    shown = " ".join(shown.split())
    if limit is not None and len(shown) > limit:
        return shown[:limit].rstrip() + "…"
    return shown


def shortened(path: str, limit: int = 80) -> str:
    """Shorten a path to at most `limit` characters by replacing its middle with an ellipsis."""
    if len(path) <= limit:
        return path
    end = (limit - 1) * 2 // 3
    return f"{path[: limit - 1 - end]}…{path[-end:]}"


def quoted(text: str, *, limit: int | None = None, mark: str = "") -> str:
    """Return the result of `plain` in quotation marks.

    Quotation marks inside the text are replaced, so that the text cannot end the quotation.
    """
    inner = "".join(_inside(character, mark) for character in text)
    return f"“{plain(inner, limit=limit, mark=mark)}”"


_MARKS: Final = frozenset('“”„‟"«»\uff02')
_BLANKS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters without a visible shape, which can make one line look like two."""


def _inside(character: str, mark: str) -> str:
    if character in _MARKS:
        return mark or "'"
    return (mark or " ") if character in _BLANKS else character


def _shown(character: str, mark: str) -> str:
    if character.isspace():
        return " "
    # C*: control, format (bidi, zero width), surrogate, private use, unassigned.
    return mark if unicodedata.category(character).startswith("C") else character
