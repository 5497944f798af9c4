"""Builds a program's environment variables from `.env` files with references, and from single secrets.

Always: all problems with names are reported before any value is fetched. References inside an inserted value are not
replaced.
"""

import re
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.cli.output import warn
from claude_secrets.errors import CallerError, Code
from claude_secrets.exec import references
from claude_secrets.model import is_name
from claude_secrets.paths import command
from claude_secrets.variable_names import is_loading, is_redirecting, is_shells_own

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_USUAL_FILE: Final = ".env"


class Choice(NamedTuple):
    """The variables that the command line asks for: all variables in `files`, and one for each secret in `only`.

    `dangerous_too` also allows variables that make programs run other code or send data elsewhere.
    """

    files: Sequence[str]
    only: Sequence[str]
    dangerous_too: bool


class Templates(NamedTuple):
    """Variables that may contain references. `named_by_files` are secrets that files name but `only` does not."""

    variables: dict[str, str]
    named_by_files: tuple[str, ...]
    files: tuple[Path, ...]


class Source(NamedTuple):
    """A source of secrets' values. `values` returns the values of existing secrets by name. `close` closes the source.

    `values` first passes the values to its second argument, which raises an error if they cannot be used. Then no value
    is given out. `missing` returns the hint for secrets that do not exist.

    `check` raises an error if the files name secrets that they may not use. `shown` returns a word of the command line
    with all values in it redacted; the result is empty if the source cannot redact.
    """

    values: Callable[[Sequence[str], Callable[[Mapping[str, str]], object]], dict[str, str]]
    close: Callable[[], None]
    check: Callable[[Templates], None] = lambda _templates: None
    shown: Callable[[str], str] = lambda _word: ""
    missing: Callable[[Sequence[str]], str | None] = lambda _names: None


class Variables(NamedTuple):
    """The variables with their final contents, and the values of the secrets that they contain."""

    environment: dict[str, str]
    secrets: dict[str, str]

    def __repr__(self) -> str:
        return "Variables(...)"


def add_arguments(parser: ArgumentParser) -> None:
    """Add `--file`, `--only` and `--allow-dangerous-names`."""
    parser.add_argument(
        "--file",
        metavar="FILE",
        action="append",
        default=[],
        help="a .env file in which secret://NAME is replaced by the secret's value; repeatable, later files win",
    )
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        default=[],
        help="set the variable NAME to the secret's value; repeatable (without --file and --only: --file .env)",
    )
    parser.add_argument(
        "--allow-dangerous-names",
        action="store_true",
        help="also set variables that make programs run other code or send data elsewhere, such as PATH",
    )


def templates(choice: Choice) -> Templates:
    """Return the variables, with references that are not replaced yet.

    Raises:
        CallerError: INVALID_ARGUMENTS, or INVALID_NAME with all names that cannot be used.
    """
    if not all(is_name(name) for name in choice.only):
        raise CallerError(
            Code.INVALID_NAME,
            "An argument of --only is not a valid name (it is not shown, because it may be a secret value).",
            "For several secrets, repeat the option before each name: --only FIRST --only SECOND",
        )
    files = choice.files or ([] if choice.only else [_USUAL_FILE])
    merged = {}
    for file in files:
        merged.update(_variables_of(file))
    named = [name for name in references.names_in(merged.values()) if name not in choice.only]
    merged.update({name: references.reference(name) for name in choice.only})
    wrong = [name for name in merged if not _VARIABLE.fullmatch(name)]
    if wrong:
        hint = _as_reference(wrong[0]) if wrong[0] in choice.only else "Rename the variable in the .env file."
        raise CallerError(Code.INVALID_NAME, f"{listed(wrong)} cannot be the name of an environment variable.", hint)
    dangerous = [name for name in merged if is_loading(name) or is_redirecting(name)]
    if dangerous and not choice.dangerous_too:
        raise CallerError(
            Code.INVALID_NAME,
            f"Refusing to set {listed(dangerous)}: it can make programs run other code or send data elsewhere.",
            "To set it anyway, add --allow-dangerous-names",
        )
    return Templates(merged, tuple(named), tuple(Path(file).expanduser() for file in files))


def _as_reference(name: str) -> str:
    """Return a hint that says how to use a secret whose name cannot be the name of a variable."""
    variable = re.sub("[^A-Z0-9_]", "_", f"{'_' * name[0].isdecimal()}{name}".upper())
    return f"Put this line into a file, and use the file with --file instead: {variable}={references.reference(name)}"


def refuse_shells_own(names: Iterable[str]) -> None:
    """Raise `CallerError` INVALID_NAME if a shell gives one of the variables a special meaning."""
    wrong = [name for name in names if is_shells_own(name)]
    if wrong:
        raise CallerError(
            Code.INVALID_NAME,
            f"Refusing to print {listed(wrong)}: shells use such a variable themselves; assigning it can run code.",
            "`exec` can set any variable, and --format dotenv or --format json can print any variable.",
        )


def resolved(
    texts: dict[str, str], source: Source, check: Callable[[Variables], object], *, on_missing: str = "error"
) -> Variables:
    """Return the variables with each reference replaced by the secret's value.

    If a secret is missing, `on_missing` decides: `error` raises an error, `empty` inserts nothing, and `keep` keeps the
    reference. `check` raises an error if the variables cannot be used.

    Raises:
        CallerError: NOT_FOUND, which lists all missing names.
    """
    names = references.names_in(texts.values())

    def made(values: Mapping[str, str]) -> Variables:
        missing = [name for name in names if name not in values]
        if missing and on_missing == "error":
            raise references.missing(missing, source.missing(missing))
        fill = {**values, **dict.fromkeys(missing, "")} if on_missing == "empty" else values
        return Variables({name: references.filled(text, fill) for name, text in texts.items()}, dict(values))

    def accept(values: Mapping[str, str]) -> None:
        check(made(values))

    if not names:
        accept({})
        return made({})
    return made(source.values(names, accept))


def how_to_store(options: Namespace, names: Sequence[str]) -> str:
    """Return the hint for secrets that do not exist. `options` are the options of the person's command."""
    scope = f" --scope {shlex.quote(options.scope)}" if options.scope else ""
    return f"To store {'it' if len(names) == 1 else 'the first of them'}: {command()} set {names[0]}{scope}"


def refuse_nul(values: Variables) -> None:
    """Raise `CallerError` INVALID_VALUE if a variable's value contains a NUL."""
    wrong = [name for name, value in values.environment.items() if "\0" in value]
    if wrong:
        raise CallerError(Code.INVALID_VALUE, f"{listed(wrong)}: an environment variable cannot contain a NUL.")


def _variables_of(file: str) -> dict[str, str]:
    from claude_secrets.exec import dotenv_file  # not needed for --only

    def on_cut(line: int) -> None:
        warn(f"{file}, line {line}: {dotenv_file.CUT}")

    try:
        with Path(file).expanduser().open("rb") as opened:
            return dotenv_file.values(dotenv_file.decoded(opened.read(dotenv_file.SIZE_LIMIT + 1)), on_cut)
    except OSError:
        if file == _USUAL_FILE and not Path(file).exists():
            hint = "Name another file with --file FILE, or secrets with --only NAME."
            raise CallerError(Code.INVALID_ARGUMENTS, "There is no .env in this directory.", hint) from None
        raise CallerError(Code.INVALID_ARGUMENTS, f"The file {file} cannot be read.") from None


def listed(names: Sequence[str]) -> str:
    """Format names for a message."""
    return ", ".join(f"'{name}'" for name in names)
