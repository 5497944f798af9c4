"""Asks the person for passphrases, for yes or no, and for values that are not shown.

Always: a question is complete without the lines above it, because those lines may have scrolled away. If the person
refuses, the command ends and nothing changes. Only `agreed` lets the command continue after a refusal.
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


def passphrase(prompt: str, descriptor: int | None) -> str:
    """Read a passphrase from a file descriptor, or from the terminal after `prompt`.

    Raises:
        InputError: there is no terminal, or nothing was typed.
        CallerError: INVALID_ARGUMENTS if nothing can be read from the descriptor.
    """
    if descriptor is None:
        from claude_secrets.prompt.terminal import read_hidden

        try:
            return read_hidden(f"{prompt} (not shown): ")
        except InputError as error:
            if error.code is Code.NO_INPUT_CHANNEL:
                hint = "Pass it through a file descriptor; --help shows the option."
                raise error.with_hint(hint) from None
            raise
    if descriptor not in _read_already:  # a pipe can be read only once
        _read_already[descriptor] = first_line(descriptor, "passphrase")
    return _read_already[descriptor]


_read_already: dict[int, str] = {}


def first_line(descriptor: int, what: str) -> str:
    """Read the first line from a file descriptor; `what` names its content in errors, such as "passphrase".

    Raises:
        CallerError: INVALID_ARGUMENTS if nothing can be read from the descriptor.
    """
    try:
        if descriptor > 2:
            os.set_inheritable(descriptor, False)  # noqa: FBT003  it takes no keyword arguments
        with open(descriptor, "rb", closefd=False) as file:
            line = file.readline(_PASSPHRASE_LIMIT).decode("utf-8").rstrip("\r\n")
    except (OSError, ValueError, TypeError, OverflowError):  # a decoding error contains the passphrase
        line = ""
    if not line:
        problem = f"No {what} can be read from the file descriptor."
        hint = _only_standard_input() if sys.platform == "win32" and descriptor > 0 else None
        raise CallerError(Code.INVALID_ARGUMENTS, problem, hint) from None
    return line


def _only_standard_input() -> str:
    return (
        "On Windows, shells pass only standard input to a program: use file descriptor 0. For a server, whose standard "
        f"input carries the protocol, add a key file that opens the store: `{command()} key add-file PATH`."
    )


def new_passphrase(what: str, descriptor: int | None) -> str:
    """Read a new passphrase for `what`. The person types it twice, unless it comes from a file descriptor.

    Raises:
        InputError: for the same reasons as `passphrase`.
        CallerError: INVALID_VALUE if the two passphrases differ; INVALID_ARGUMENTS for the same reason as `passphrase`.
    """
    if descriptor is not None:
        return passphrase("New passphrase", descriptor)
    prompt = f"New passphrase of {what}"
    return the_same_again(prompt, passphrase(prompt, None))


def the_same_again(prompt: str, first: str) -> str:
    """Ask the person to type a new passphrase again, and return it. Raises the errors of `new_passphrase`."""
    if passphrase(f"{prompt}, again", None) != first:
        raise CallerError(Code.INVALID_VALUE, "The two passphrases differ; nothing was changed.")
    return first


def require_yes(question: str, *, yes: bool) -> None:
    """Ask a yes-or-no question, unless `yes` already answers it. If the person refuses, end the command.

    Raises:
        CallerError: INVALID_ARGUMENTS if nobody can answer.
    """
    from claude_secrets.prompt.terminal import confirm

    if yes:
        return
    require_answer(yes=yes)
    flush()
    if not confirm(question):
        say("Nothing was changed.")
        raise SystemExit(FAILED)


def require_answer(*, yes: bool) -> None:
    """Raise `CallerError` INVALID_ARGUMENTS if nobody can answer a question, and `yes` does not answer it."""
    if not yes and not is_at_terminal():
        raise CallerError(Code.INVALID_ARGUMENTS, "Nobody can be asked here.", "If you are sure, add --yes.")


def agreed(question: str, *, yes: bool) -> bool:
    """Return whether the person says yes, or has passed `--yes`. Return False if nobody can answer.

    After a refusal the command continues, but skips a step.
    """
    from claude_secrets.prompt.terminal import confirm

    return yes or (is_at_terminal() and confirm(question))


def ask(lines: Sequence[str], question: str, refusal: SecretsError) -> None:
    """Show the lines and ask the question.

    If the person refuses, the command ends. If there is no terminal, `refusal` is raised.

    The question must be complete without the lines, because they may have scrolled away.
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
    """Read the value of a secret from the terminal or standard input.

    The newline after a single line from standard input is removed, unless `exact` is set.

    Raises:
        CallerError: INVALID_VALUE.
    """
    if is_at_terminal():
        from claude_secrets.prompt.terminal import read_hidden

        other_way = f"Pass it on standard input, for example from a file: {command()} set {name} <FILE"
        return read_hidden(f"Value of {name} (not shown): ", other_way=other_way)
    data = sys.stdin.buffer.read(VALUE_LIMIT + 3) if sys.stdin is not None else b""
    try:
        value = data.decode("utf-8")
    except UnicodeDecodeError:
        raise CallerError(Code.INVALID_VALUE, "The input is not UTF-8 text.") from None
    return value if exact else without_stray_newline(value)


def code_from_input() -> str:
    """Read a recovery code from the terminal or standard input.

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
        raise CallerError(Code.INVALID_VALUE, "That is not a recovery code.") from None


def is_at_terminal() -> bool:
    """Return whether standard input is a terminal."""
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    if sys.platform == "win32":  # `isatty` is also true for the device NUL
        from claude_secrets.prompt.terminal import is_there

        is_terminal = is_there()
    return is_terminal
