"""Text of strangers made fit to be shown: one line, nothing invisible, nothing that turns the reading direction.

Always: pure; nothing that comes out holds a control, format, surrogate, private or unassigned character. The
other modules of `human/` and the faces import it.
"""

import unicodedata


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


def _shown(character: str, mark: str) -> str:
    if character.isspace():
        return " "
    # C*: control, format (bidi, zero width), surrogate, private use, unassigned.
    return mark if unicodedata.category(character).startswith("C") else character
