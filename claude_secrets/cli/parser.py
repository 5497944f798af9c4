"""The one tree of parsers: the commands, each with a line that says what it does.

Always: no value in arguments or errors; a command's module is imported only when it is named. One file per command in
`commands/`, each with `add_arguments(parser)` and `run(options) -> int`; some with `loosens(options)`, which says when
a person must run it.
"""

import argparse
import importlib
import sys
from types import ModuleType
from typing import Final, NoReturn

from claude_secrets.cli import output
from claude_secrets.cli.arguments import add_common
from claude_secrets.exit_codes import WRONG_USAGE
from claude_secrets.paths import command
from claude_secrets.version import __version__

COMMANDS: Final = {
    "serve": "Serve MCP on standard input and output (what clients start; the default on a pipe).",
    "init": "Make .claude/secrets.yml here; choose where the store's key is, if not in the OS keyring.",
    "set": "Store a secret: asks for the value without showing it, or reads standard input.",
    "get": "Print a secret's value, exactly.",
    "list": "List your secrets; no values.",
    "search": "List the secrets whose names match a regular expression.",
    "delete": "Delete a secret; its versions stay in the store.",
    "history": "List the versions of a secret that are kept; no values.",
    "restore": "Bring back an earlier value of a secret, or a deleted secret.",
    "purge": "Take a secret, or all deleted ones, away for good.",
    "rename": "Give a secret another name.",
    "exec": "Run a program with secrets in its environment; redact what it prints.",
    "export": "Print variables with their secrets for a shell, as a .env file or as JSON.",
    "scan": "Look for stored values in files, git history and transcripts.",
    "hook": "Answer an event of Claude Code's hooks.",
    "import": "Bring secrets along from a .env file, a JSON object or the TypeScript tool's store.",
    "access": "Say whether agents may be given the values of secrets.",
    "allow": "Put a name in this project's allowlist and let the project use it.",
    "revoke": "Take a name, or all, away from this project again.",
    "trust": "Show what this project wants of secrets from elsewhere, and let it.",
    "projects": "List what you have let projects use beyond their own.",
    "policy": "Check policies, or explain what they decide.",
    "log": "Show who asked for what, and what came of it; or verify that the log is whole.",
    "backup": "Write all secrets into one file that a passphrase opens; verify or restore one.",
    "key": "List, add, remove or replace the keys that open the store.",
    "recover": "Make a recovery code, or open the store with it when its key is lost.",
    "doctor": "Check key, store, project and allowlist, and say what to do.",
}


def parse(given: list[str]) -> argparse.Namespace:
    """The parsed command line. Raises `SystemExit` where it cannot be understood, or help was asked for."""
    name = command_in(given)
    if name is None and not any(word in ("-h", "--help", "--version") for word in given):
        if sys.stdin is not None and sys.stdin.isatty():
            given, name = ["--help"], None
        else:
            given, name = [*given, "serve"], "serve"
    parser = _Parser(
        prog=command(),
        description="Keeps credentials out of chats: encrypted, allowlisted by project, and decided by you.",
        epilog="Without a command and with input from a pipe, this is the MCP server.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"claude-secrets {__version__}")
    add_common(parser, None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    # Making the parsers of all commands takes longer than the work of some.
    for each in [name] if name in COMMANDS and name == given[0] else COMMANDS:
        line = COMMANDS[each]
        one = commands.add_parser(each, help=line, description=line, allow_abbrev=False)
        if each == name:
            _add_options(one, each)
    options, unknown = parser.parse_known_args(given)
    if unknown:
        options.parser.error("unrecognized arguments")
    return options


def parser_of(name: str, program: str) -> argparse.ArgumentParser:
    """Return the parser of one command, as `parse` uses it, for a program with the name `program`."""
    parser = _Parser(prog=f"{program} {name}", description=COMMANDS[name], allow_abbrev=False)
    _add_options(parser, name)
    return parser


def _add_options(parser: argparse.ArgumentParser, name: str) -> None:
    module_of(name).add_arguments(parser)
    add_common(parser)
    parser.set_defaults(parser=parser)


def module_of(name: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"claude_secrets.cli.commands.{name}")


def command_in(given: list[str]) -> str | None:
    """The first word that is neither an option nor the value of a common option."""
    words = iter(given)
    for word in words:
        if word in ("--project", "--store", "--passphrase-fd"):
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None


class _Parser(argparse.ArgumentParser):
    """argparse, with its errors in this program's form and without what was given."""

    def error(self, message: str) -> NoReturn:
        # argparse repeats words that it cannot use, and people do put values there.
        if not message.startswith("the following arguments are required") and "expected one argument" not in message:
            message = "these arguments do not fit (not repeated here: one may be a value)"
        output.error(message)
        output.hint(f"{self.prog} --help")
        raise SystemExit(WRONG_USAGE)
