"""Quote words of a command that a hint shows, for the shells of this system."""

import re
import shlex
import sys
from collections.abc import Iterable
from typing import Final

_PLAIN_ON_WINDOWS: Final = re.compile(r"[\w@+=:,./\\-]+", re.ASCII)


def quoted(word: str, *, platform: str = sys.platform) -> str:
    """Return a word so that a shell of `platform` reads it as one word.

    On Windows, cmd.exe and PowerShell both accept only double quotes. No path there contains a double quote. They still
    expand `%NAME%` (cmd.exe) or `$name` (PowerShell) in the word, because no spelling is literal for both.
    """
    if platform != "win32":
        return shlex.quote(word)
    return word if _PLAIN_ON_WINDOWS.fullmatch(word) else f'"{word}"'


def joined(words: Iterable[str], *, platform: str = sys.platform) -> str:
    """Return the quoted words with blanks between them."""
    return " ".join(quoted(word, platform=platform) for word in words)


def removal(path: object, *, platform: str = sys.platform) -> str:
    """Return the command that removes the file at `path`."""
    return f"{'del' if platform == 'win32' else 'rm'} {quoted(str(path), platform=platform)}"
