"""Show what a change does to a configuration file.

Always: text that was in the file before is not shown, except for its keys, because it can contain the credentials of
other servers. Comments are not shown either.
"""

import difflib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

_WIDTH: Final = 200
_HIDDEN: Final = "…"
_NEWLINE: Final = re.compile(r"\r\n|\n|\r")
_PIECE: Final = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?(?:\*/|$)|\#[^\n]*)
    |(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')(?P<key>\s*[:=])?""",
    re.VERBOSE,
)


def differences(path: Path, before: bytes | None, after: bytes | None, own: Collection[str]) -> Iterator[str]:
    """Yield the lines of a unified diff. `own` are the texts that the change itself brings, which are shown.

    A text of a line that was changed is shown only if it is a key or one of `own`. None means that there is no file.
    """
    old, new = _lines(before), _lines(after)
    name = str(path)
    heads = ("/dev/null" if before is None else name, "/dev/null" if after is None else name)
    for number, line in enumerate(difflib.unified_diff(old, new, *heads, n=0, lineterm="")):
        yield line if number < 2 or line.startswith("@@") else _masked(line, own)


def _masked(line: str, own: Collection[str]) -> str:
    def mask(found: re.Match[str]) -> str:
        if found["comment"] is not None:
            return _HIDDEN
        text, key = found["text"], found["key"]
        if key is not None or text[1:-1].replace("\\\\", "\\") in own:
            return found[0]
        return f"{text[0]}{_HIDDEN}{text[0]}"

    shown = line[0] + _PIECE.sub(mask, line[1:])
    return shown if len(shown) <= _WIDTH else shown[:_WIDTH] + _HIDDEN


def _lines(data: bytes | None) -> list[str]:
    """Return the lines. Other line separators of Unicode may stand inside a text, which must stay in one piece."""
    lines = [] if data is None else _NEWLINE.split(data.decode("utf-8-sig", "replace"))
    return lines[:-1] if lines and not lines[-1] else lines
