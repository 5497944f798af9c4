"""The argument parser: all commands, each with its one-line help.

Each command is a module in `commands/` with `add_arguments(parser)` and `run(options) -> int`. Some of these modules
also have `loosens(options)`, which returns whether a person must run the command.

Always: no command takes a secret's value as an argument, and errors do not repeat the arguments. A command's module is
imported only if the arguments name the command.
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
    "serve": "Run the MCP server on standard input and output (the default if standard input is a pipe).",
    "init": "Create .claude/secrets.yml here; choose where to keep the store's key (default: the OS keyring).",
    "set": "Store a secret. Asks for the value without showing it, or reads standard input.",
    "get": "Print a secret's value exactly as it is stored.",
    "list": "List your secrets, without values.",
    "search": "List the secrets whose names match a regular expression.",
    "delete": "Delete a secret. Its versions stay in the store.",
    "history": "List the stored versions of a secret, without values.",
    "restore": "Restore an earlier value of a secret, or a deleted secret.",
    "purge": "Permanently remove a secret, or all deleted secrets.",
    "rename": "Rename a secret.",
    "exec": "Run a program with secrets in its environment; --redact hides them in its output.",
    "export": "Print variables with secret values for a shell, as a .env file or as JSON.",
    "scan": "Search files, git history and transcripts for stored values.",
    "hook": "Answer an event of Claude Code's hooks.",
    "import": "Import secrets from a .env file, a JSON object or the TypeScript tool's store.",
    "access": "Set whether agents can read the values of secrets, or only use them.",
    "allow": "Add a name to this project's allowlist and let the project use the secret.",
    "revoke": "Revoke this project's access to a name, or revoke all its grants.",
    "trust": "Review the secrets of other projects that this project asks for, and grant access.",
    "projects": "List the grants: what you have allowed projects to use in addition to their own secrets.",
    "policy": "Check policies, or explain what they decide.",
    "log": "Show the audit log (who asked for which secret, and the outcome), or verify that the log is intact.",
    "backup": "Write all secrets to one passphrase-protected file; verify or restore such a file.",
    "key": "List, add, remove or replace the keys that open the store.",
    "recover": "Make a recovery code, or use a recovery code to open the store if the store's key is lost.",
    "doctor": "Check the key, store, project and allowlist, and say how to fix problems.",
}


def parse(given: list[str]) -> argparse.Namespace:
    """Parse the command line.

    Raises:
        SystemExit: the arguments are invalid, or help was requested.
    """
    name = command_in(given)
    if name is None and not any(word in ("-h", "--help", "--version") for word in given):
        if sys.stdin is not None and sys.stdin.isatty():
            given, name = ["--help"], None
        else:
            given, name = [*given, "serve"], "serve"
    parser = _Parser(
        prog=command(),
        description="Keeps credentials out of chats: encrypted, allowlisted per project, and decided by you.",
        epilog="Without a command, this runs the MCP server if standard input is a pipe.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"claude-secrets {__version__}")
    add_common(parser, None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    # Building the parsers of all commands takes longer than running some of them.
    for each in [name] if name in COMMANDS and name == given[0] else COMMANDS:
        line = COMMANDS[each]
        one = commands.add_parser(each, help=line, description=line, allow_abbrev=False)
        if each == name:
            _add_options(one, each)
    options, unknown = parser.parse_known_args(given)
    if unknown:
        if name == "set" and any(not word.startswith("-") for word in unknown):
            _refuse_value_argument()
        options.parser.error("unrecognized arguments")
    return options


def _refuse_value_argument() -> NoReturn:
    output.error("`set` takes only the secret's name (the rest is not shown, because it may be a value)")
    output.hint(f"run `{command()} set NAME`, then type the value; if it is in your shell's history now, clear that")
    raise SystemExit(WRONG_USAGE)


def parser_of(name: str, program: str) -> argparse.ArgumentParser:
    """Return the parser that `parse` uses for the command `name`. In its messages, the program's name is `program`."""
    parser = _Parser(prog=f"{program} {name}", description=COMMANDS[name], allow_abbrev=False)
    _add_options(parser, name)
    return parser


def _add_options(parser: argparse.ArgumentParser, name: str) -> None:
    module_of(name).add_arguments(parser)
    add_common(parser)
    parser.set_defaults(parser=parser)


def module_of(name: str) -> ModuleType:
    """Import and return the module of a command."""
    return importlib.import_module(f"claude_secrets.cli.commands.{name}")


def command_in(given: list[str]) -> str | None:
    """Return the command's name: the first word that is neither an option nor the value of a common option."""
    words = iter(given)
    for word in words:
        if word in ("--project", "--store", "--passphrase-fd"):
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None


class _Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors have this program's format and do not repeat the arguments."""

    def error(self, message: str) -> NoReturn:
        # argparse's own message repeats the rejected words, and one of them may be a secret value.
        if message.startswith(("argument COMMAND:", "argument VERB:")):
            kind = message.partition(":")[0].removeprefix("argument ").lower()
            message = f"unknown {kind} (not shown, because it may be a secret value)"
        elif not message.startswith("the following arguments are required") and "expected one argument" not in message:
            message = "invalid arguments (not shown, because one may be a secret value)"
        output.error(message)
        output.hint(f"{self.prog} --help")
        raise SystemExit(WRONG_USAGE)
