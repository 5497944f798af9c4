"""How Windows starts a program: the command line, batch files, names of variables and exit codes.

Always: this module does no input or output. A batch file never gets an argument that cmd.exe would read as a command or
a variable.

Windows hands a program one line instead of a list of words. A batch file (.cmd, .bat) is run by cmd.exe, which reads
the line by its own rules, so quoting for programs does not protect it (CVE-2024-24576).
"""

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
    """
    refuse_unsafe(program, arguments)
    line = " ".join([f'"{program}"', *([subprocess.list2cmdline(arguments)] if arguments else [])])
    if is_batch(program):
        return shell, f'"{shell}" /e:ON /v:OFF /d /c "{line}"'
    return program, line


def merged(environment: Mapping[str, str], given: Mapping[str, str], *, platform: str = sys.platform) -> dict[str, str]:
    """Return `environment` with the variables `given`. On Windows, the names of variables have no case."""
    if platform != "win32":
        return {**environment, **given}
    last = {name.upper(): name for name in given}
    kept = {name: value for name, value in environment.items() if name.upper() not in last}
    return {**kept, **{name: given[name] for name in last.values()}}


def signed(code: int) -> int:
    """Return an exit code as the signed number that `os._exit` accepts.

    Windows reports exit codes as unsigned numbers of 32 bits. Codes of crashes and of Ctrl-C are greater than
    0x7FFFFFFF. The shell sees the same 32 bits.
    """
    return code - (1 << 32) if code >= 1 << 31 else code
