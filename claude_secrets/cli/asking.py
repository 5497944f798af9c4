"""Asking the person: passphrases from the terminal or a descriptor, yes-or-no questions, hidden values.

Always: a question is complete without the lines above it, which may have scrolled away. If the person refuses, the
command ends and nothing changes.
"""

import os
import sys
from collections.abc import Sequence
from typing import Final

from claude_secrets.cli.output import flush, note, say
from claude_secrets.errors import CallerError, Code, InputError, SecretsError
from claude_secrets.exit_codes import FAILED
from claude_secrets.model import VALUE_LIMIT, without_stray_newline
from claude_secrets.paths import command

_PASSPHRASE_LIMIT: Final = 4096
_CODE_LIMIT: Final = 256


def passphrase(what: str, descriptor: int | None) -> str:
    """The passphrase of `what`, from a file descriptor or typed at the terminal.

    Raises:
        InputError: there is no terminal to ask at; or nothing was typed.
        CallerError: INVALID_ARGUMENTS where nothing can be read from the descriptor.
    """
    if descriptor is None:
        from claude_secrets.prompt.terminal import read_hidden

        try:
            return read_hidden(f"Passphrase of {what} (not shown): ")
        except InputError as error:
            if error.code is Code.NO_INPUT_CHANNEL:
                raise error.with_hint("A file descriptor can give it; --help says by which option.") from None
            raise
    if descriptor not in _read_already:  # once only: a pipe has nothing to say a second time
        _read_already[descriptor] = first_line(descriptor, "passphrase")
    return _read_already[descriptor]


_read_already: dict[int, str] = {}


def first_line(descriptor: int, what: str) -> str:
    """The first line that a file descriptor gives, for a `what` ("passphrase").

    Raises:
        CallerError: INVALID_ARGUMENTS where nothing can be read from it.
    """
    try:
        if descriptor > 2:
            os.set_inheritable(descriptor, False)  # noqa: FBT003  it takes no names
        with open(descriptor, "rb", closefd=False) as file:
            line = file.readline(_PASSPHRASE_LIMIT).decode("utf-8").rstrip("\r\n")
    except (OSError, ValueError, TypeError, OverflowError):  # from None: what cannot be decoded is in the exception
        line = ""
    if not line:
        raise CallerError(Code.INVALID_ARGUMENTS, f"No {what} can be read from that file descriptor.") from None
    return line


def new_passphrase(what: str, descriptor: int | None) -> str:
    """A new passphrase for `what`, typed twice, or read from a file descriptor.

    Raises:
        InputError: as `passphrase`.
        CallerError: INVALID_VALUE where both are not alike; INVALID_ARGUMENTS as `passphrase`.
    """
    if descriptor is not None:
        return passphrase(what, descriptor)
    return the_same_again(what, passphrase(f"{what}: a new one", None))


def the_same_again(what: str, first: str) -> str:
    """A new passphrase that was typed, once it is typed a second time. Raises as `new_passphrase`."""
    if passphrase(f"{what}: the same again", None) != first:
        raise CallerError(Code.INVALID_VALUE, "The two passphrases differ; nothing was changed.")
    return first


def require_yes(question: str, *, yes: bool) -> None:
    """Ask, unless `yes` was given in advance; end the command where the answer is no.

    Raises:
        CallerError: INVALID_ARGUMENTS where nobody can answer.
    """
    from claude_secrets.prompt.terminal import confirm

    if yes:
        return
    if not is_at_terminal():
        raise CallerError(Code.INVALID_ARGUMENTS, "Nobody can be asked here.", "Add --yes if you are sure.")
    flush()
    if not confirm(question):
        say("Nothing was changed.")
        raise SystemExit(FAILED)


def agreed(question: str, *, yes: bool) -> bool:
    """Whether the person says yes, or said it in advance; a no only leaves something out. Nobody there is a no."""
    from claude_secrets.prompt.terminal import confirm

    return yes or (is_at_terminal() and confirm(question))


def ask(lines: Sequence[str], question: str, refusal: SecretsError) -> None:
    """Show the lines and put the question; end the command where the answer is no, raise `refusal` without a terminal.

    The lines may have scrolled away, so the question has to be complete without them.
    """
    from claude_secrets.prompt.terminal import confirm, is_there

    if not is_there():
        raise refusal
    for line in lines:
        note(line)
    try:
        said_yes = confirm(question)
    except InputError as error:
        raise (refusal if error.code is Code.NO_INPUT_CHANNEL else error) from None
    if not said_yes:
        note("Nothing was changed.")
        raise SystemExit(FAILED)


def value_from_input(name: str, *, exact: bool) -> str:
    """The value of a secret, typed at the terminal or read from standard input.

    `exact` keeps a newline at the end of a single line from standard input.

    Raises:
        CallerError: INVALID_VALUE.
    """
    if is_at_terminal():
        from claude_secrets.prompt.terminal import read_hidden

        other_way = f"Pass it by standard input, for example from a file: {command()} set {name} <FILE"
        return read_hidden(f"Value of {name} (not shown): ", other_way=other_way)
    data = sys.stdin.buffer.read(VALUE_LIMIT + 3) if sys.stdin is not None else b""
    try:
        value = data.decode("utf-8")
    except UnicodeDecodeError:
        raise CallerError(Code.INVALID_VALUE, "The input is not UTF-8 text.") from None
    return value if exact else without_stray_newline(value)


def code_from_input() -> str:
    """A recovery code, typed at the terminal or read from standard input.

    Raises:
        CallerError: INVALID_VALUE.
    """
    if is_at_terminal():
        from claude_secrets.prompt.terminal import read_hidden

        return read_hidden("Recovery code (not shown): ")
    data = sys.stdin.buffer.read(_CODE_LIMIT) if sys.stdin is not None else b""
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise CallerError(Code.INVALID_VALUE, "That is no recovery code.") from None


def is_at_terminal() -> bool:
    """Whether standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()
