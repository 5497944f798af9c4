"""How Windows starts a program: the command line, batch files, names of variables and exit codes.

Always: this module does no input or output. A batch file never gets an argument that cmd.exe would read as a command or
a variable.

Windows hands a program one line instead of a list of words. A batch file (.cmd, .bat) is run by cmd.exe, which reads
the line by its own rules, so quoting for programs does not protect it (CVE-2024-24576).
"""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from claude_secrets.errors import CallerError, Code

_BATCH: Final = (".cmd", ".bat")
_IN_ARGUMENTS: Final = frozenset('&|<>^%!"\r\n')
"""The characters of an argument that cmd.exe does not pass on unchanged, or that begin another command."""

_IN_QUOTES: Final = frozenset('%!"\r\n')
"""The characters that have a meaning for cmd.exe even between quotes."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9#$*+./:?@\\_-]*[A-Za-z0-9#$*+./:?@_-]", re.ASCII)
"""An argument that means the same to cmd.exe with and without quotes. Rust's standard library has the same rule."""

_LONGEST: Final = 32_766
"""The most UTF-16 units of a command line (Microsoft, "CreateProcessW function": 32,767 with the NUL at its end)."""

_LONGEST_FOR_CMD: Final = 8_191
"""The most UTF-16 units of a command line of cmd.exe (Microsoft, "Command prompt line string limitation")."""


def is_batch(program: str) -> bool:
    """Whether Windows runs the file with cmd.exe. Windows ignores dots and blanks at the end of a name."""
    return program.rstrip(" .").lower().endswith(_BATCH)


def refuse_unsafe(program: str, arguments: Sequence[str]) -> None:
    """Refuse a batch file whose path or arguments cmd.exe could read as commands. The error does not repeat them.

    Raises:
        CallerError: INVALID_ARGUMENTS.
    """
    if not is_batch(program):
        return
    if not _IN_QUOTES.isdisjoint(program):
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            'The path of a batch file (.cmd, .bat) cannot contain %, ! or ", because cmd.exe would change it.',
        )
    wrong = [number for number, word in enumerate(arguments, 1) if not _IN_ARGUMENTS.isdisjoint(word)]
    if wrong:
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            f"Argument {wrong[0]} of a batch file (.cmd, .bat) contains a line break or one of these characters, which"
            ' cmd.exe could run as a command: & | < > ^ % ! "',
            "Start the program that the batch file starts (for npm: node), or pass the text in a variable or a file.",
        )


def command_line(program: str, arguments: Sequence[str], shell: str) -> tuple[str, str]:
    """Return the file that Windows starts, and its command line. `shell` is the absolute path of cmd.exe.

    `program` is an absolute path, and is also the line's first word: for a bare first word, cmd.exe would search the
    working directory. The options of cmd.exe turn on the extensions that batch files expect, and turn off the expansion
    of `!NAME!` and the commands that cmd.exe runs at each start. Raises the same error as `refuse_unsafe`.

    Raises:
        OSError: E2BIG if the line is longer than Windows or cmd.exe accepts.
    """
    refuse_unsafe(program, arguments)
    first = f'"{program}"'
    if is_batch(program):
        words = " ".join([first, *map(_quoted_for_batch, arguments)])
        file, line, longest = shell, f'"{shell}" /e:ON /v:OFF /d /c "{words}"', _LONGEST_FOR_CMD
    else:
        words = " ".join([first, *([subprocess.list2cmdline(arguments)] if arguments else [])])
        file, line, longest = program, words, _LONGEST
    if len(line.encode("utf-16-le", "surrogatepass")) > 2 * longest:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
    return file, line


def _quoted_for_batch(word: str) -> str:
    """Return an argument for a batch file, in quotes unless it is a plain word.

    Outside quotes, cmd.exe separates arguments at `,`, `;` and `=`, and `)` can end a block of the batch file. If the
    batch file passes its arguments on to a program, the program removes the quotes.
    """
    if _PLAIN.fullmatch(word):
        return word
    slashes = len(word) - len(word.rstrip("\\"))  # a single backslash would escape the closing quote
    return f'"{word}{word[len(word) - slashes :]}"'


def merged(environment: Mapping[str, str], given: Mapping[str, str], *, platform: str = sys.platform) -> dict[str, str]:
    """Return `environment` with the variables `given`. On Windows, upper and lower case count as the same name.

    On Windows, the result is sorted, as CreateProcess requires (Microsoft, "Changing Environment Variables"). In an
    unsorted environment, a program that removes a variable could miss it, and pass the value on to other programs.
    """
    if platform != "win32":
        return {**environment, **given}
    last = {name.upper(): name for name in given}
    kept = {name: value for name, value in environment.items() if name.upper() not in last}
    every = {**kept, **{name: given[name] for name in last.values()}}
    return {name: every[name] for name in sorted(every, key=str.upper)}


def signed(code: int) -> int:
    """Return an exit code as the signed number that `os._exit` accepts.

    Windows reports exit codes as unsigned numbers of 32 bits. Codes of crashes and of Ctrl-C are greater than
    0x7FFFFFFF. The shell sees the same 32 bits.
    """
    return code - (1 << 32) if code >= 1 << 31 else code
