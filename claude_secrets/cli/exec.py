"""`exec`: become another program that has secrets in its environment."""

import os
import re
import shutil
import sys
from argparse import REMAINDER, ArgumentParser, Namespace
from typing import Final

from claude_secrets.cli.common import add_scope, find_project, the_person
from claude_secrets.cli.output import warn
from claude_secrets.errors import CallerError, Code
from claude_secrets.model import check_name

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# These say how programs are found, loaded and shown: whoever stored one could run code of their own.
_LOADING: Final = frozenset(
    {
        "PATH",
        "ENV",
        "BASH_ENV",
        "SHELLOPTS",
        "BASHOPTS",
        "PS4",
        "PROMPT_COMMAND",
        "IFS",
        "SHELL",
        "EDITOR",
        "VISUAL",
        "PAGER",
        "BROWSER",
        "GCONV_PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "PYTHONINSPECT",
        "PYTHONBREAKPOINT",
        "NODE_OPTIONS",
        "NODE_PATH",
        "PERL5LIB",
        "PERL5OPT",
        "RUBYLIB",
        "RUBYOPT",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "_JAVA_OPTIONS",
        "CLASSPATH",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_ASKPASS",
        "GIT_EXTERNAL_DIFF",
        "GIT_EXEC_PATH",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
        "GIT_EDITOR",
        "GIT_SEQUENCE_EDITOR",
        "GIT_PAGER",
        "LESSOPEN",
        "LESSCLOSE",
        "MAKEFLAGS",
        "MFLAGS",
        "PERL5DB",
        "OPENSSL_CONF",
        "PYTHONWARNINGS",
        "SSH_ASKPASS",
        "SUDO_ASKPASS",
    }
)
_LOADING_PREFIXES: Final = ("LD_", "DYLD_", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_", "BASH_FUNC_")


def add_arguments(parser: ArgumentParser) -> None:
    """Take the names and the program with its arguments."""
    parser.usage = "%(prog)s --only NAME [--only NAME …] [--scope SCOPE] -- COMMAND …"
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        required=True,
        help="put this secret into the environment; repeatable",
    )
    add_scope(parser)
    parser.add_argument("program", metavar="COMMAND", nargs=REMAINDER, help="the program and its arguments")


def run(options: Namespace) -> int:
    """Become the program; comes back only where that cannot be."""
    words = options.program[1:] if options.program[:1] == ["--"] else options.program
    if not words:
        raise CallerError(Code.INVALID_ARGUMENTS, "There is no program to run.", "exec --only NAME -- COMMAND …")
    person = the_person(options, find_project(options), options.scope)
    values = {_checked(name): person.get(name, warn=warn) for name in options.only}
    for name, value in values.items():
        if "\0" in value:
            raise CallerError(Code.INVALID_VALUE, f"'{name}' holds a NUL, which no environment can.")
    program = shutil.which(words[0])
    if program is None:
        raise CallerError(Code.INVALID_ARGUMENTS, "There is no such program.")
    sys.stdout.flush()
    os.execve(program, words, {**os.environ, **values})  # noqa: S606  what the person asked for, without a shell


def _checked(name: str) -> str:
    check_name(name)
    if not _VARIABLE.fullmatch(name):
        raise CallerError(Code.INVALID_NAME, f"'{name}' cannot name a variable of an environment.")
    if name.upper() in _LOADING or name.upper().startswith(_LOADING_PREFIXES):
        raise CallerError(Code.INVALID_NAME, f"'{name}' says how programs are loaded, so it is not set from the store.")
    return name
