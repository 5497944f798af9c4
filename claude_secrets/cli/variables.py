"""Variables for a program's environment: from `.env` files with references, and from secrets under their own names.

Always: all that is wrong with the names is said before any value is fetched; a value in the place of a reference is not
looked at again. `exec` and `export` use it.
"""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from claude_secrets import dotenv_file, references
from claude_secrets.errors import CallerError, Code

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_USUAL_FILE: Final = ".env"
# These say how programs are found, loaded and shown: whoever chose their values could run code of their own.
_WORDS: Final = """
PATH ENV BASH_ENV SHELLOPTS BASHOPTS PS4 PROMPT_COMMAND IFS SHELL EDITOR VISUAL PAGER BROWSER GCONV_PATH
PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONINSPECT PYTHONBREAKPOINT PYTHONWARNINGS PYTHONUSERBASE NODE_OPTIONS
NODE_PATH PERL5LIB PERL5OPT PERL5DB RUBYLIB RUBYOPT JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS CLASSPATH
GIT_SSH GIT_SSH_COMMAND GIT_ASKPASS GIT_EXTERNAL_DIFF GIT_EXEC_PATH GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM
GIT_CONFIG_COUNT GIT_CONFIG_PARAMETERS GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_PAGER GIT_PROXY_COMMAND
GIT_TEMPLATE_DIR LESSOPEN LESSCLOSE MAKEFLAGS MFLAGS OPENSSL_CONF OPENSSL_MODULES SSH_ASKPASS SUDO_ASKPASS
DOTNET_STARTUP_HOOKS R_PROFILE R_PROFILE_USER LUA_INIT JULIA_LOAD_PATH PHPRC PHP_INI_SCAN_DIR GEM_PATH GEM_HOME
ZDOTDIR FPATH RUSTC_WRAPPER CARGO_BUILD_RUSTC_WRAPPER
"""
_LOADING: Final = frozenset(_WORDS.split())
_LOADING_PREFIXES: Final = ("LD_", "DYLD_", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_", "BASH_FUNC_")


@dataclass(frozen=True, slots=True)
class Source:
    """Where values come from: `values` gives those of some names that there are; `close` ends it."""

    values: Callable[[Sequence[str]], dict[str, str]]
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Variables:
    """Names with what they are to hold, and the values of the secrets that are in them, by the secret's name."""

    environment: dict[str, str] = field(repr=False)
    secrets: dict[str, str] = field(repr=False)


def add_arguments(parser: ArgumentParser) -> None:
    """Take `--file`, `--only` and `--allow-dangerous-names`."""
    parser.add_argument(
        "--file",
        metavar="FILE",
        action="append",
        default=[],
        help="a .env file in which secret://NAME stands for a value; repeatable, later ones win",
    )
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        default=[],
        help="this secret, in a variable of its name; repeatable (with neither: the file .env here)",
    )
    parser.add_argument(
        "--allow-dangerous-names",
        action="store_true",
        help="also set variables that change how programs are found and loaded, such as PATH",
    )


def templates(options: Namespace) -> dict[str, str]:
    """The variables with their references.

    Raises:
        CallerError: INVALID_ARGUMENTS, INVALID_NAME; it says all names that cannot be used.
    """
    files = options.file or ([] if options.only else [_USUAL_FILE])
    found = {}
    for file in files:
        found.update(dotenv_file.values(_text(file)))
    found.update({name: references.reference(name) for name in options.only})
    wrong = [name for name in found if not _VARIABLE.fullmatch(name)]
    if wrong:
        raise CallerError(Code.INVALID_NAME, f"{_listed(wrong)} cannot name a variable of an environment.")
    loading = [name for name in found if is_loading(name)]
    if loading and not options.allow_dangerous_names:
        raise CallerError(
            Code.INVALID_NAME,
            f"{_listed(loading)}: this says how programs are found or loaded, so it is not set.",
            "If that is what you want: --allow-dangerous-names",
        )
    return found


def resolved(found: dict[str, str], source: Source, *, on_missing: str = "error") -> Variables:
    """The variables with values in the place of references; `on_missing` is `error`, `empty` or `keep`.

    Raises:
        CallerError: NOT_FOUND with all names that are missing.
    """
    names = references.names_in(found.values())
    values = source.values(names) if names else {}
    missing = [name for name in names if name not in values]
    if missing and on_missing == "error":
        raise references.missing(missing)
    fill = {**values, **dict.fromkeys(missing, "")} if on_missing == "empty" else values
    return Variables({name: references.filled(text, fill) for name, text in found.items()}, values)


def refuse_nul(found: Variables) -> None:
    """Raise `CallerError` INVALID_VALUE where a variable holds what no environment can."""
    wrong = [name for name, value in found.environment.items() if "\0" in value]
    if wrong:
        raise CallerError(Code.INVALID_VALUE, f"{_listed(wrong)}: the value holds a NUL, which no environment can.")


def is_loading(name: str) -> bool:
    """Whether a variable of that name changes how programs are found, loaded or shown."""
    return name.upper() in _LOADING or name.upper().startswith(_LOADING_PREFIXES)


def _text(file: str) -> str:
    try:
        with Path(file).expanduser().open("rb") as opened:
            return dotenv_file.decoded(opened.read(dotenv_file.SIZE_LIMIT + 1))
    except OSError:
        hint = "Name another with --file, or secrets with --only." if file == _USUAL_FILE else None
        raise CallerError(Code.INVALID_ARGUMENTS, f"The file {file} cannot be read.", hint) from None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
