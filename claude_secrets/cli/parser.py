"""The argument parser: all commands, each with its one-line help.

Each command is a module in `commands/` with `add_arguments(parser)` and `run(options) -> int`. Some of these modules
also have `loosens(options)`, which returns whether a person must run the command.

Always: no command takes a secret's value as an argument, and errors do not repeat the arguments. A command's module is
imported only if the arguments name the command.
"""

import argparse
import difflib
import importlib
import re
import sys
from types import ModuleType
from typing import Any, Final, NoReturn

from claude_secrets.cli import output
from claude_secrets.cli.arguments import add_common
from claude_secrets.exit_codes import WRONG_USAGE
from claude_secrets.paths import command
from claude_secrets.version import __version__

COMMANDS: Final = {
    "serve": "Run the MCP server on standard input and output (the default if standard input is a pipe).",
    "setup": "Make the store, connect your clients, and check that they start the server.",
    "install": "Register this server with clients such as Claude Code or Cursor.",
    "uninstall": "Remove this server from clients; undo `setup`; or remove the store.",
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
    "doctor": "Check the key, store, project and clients, and say how to fix problems.",
}


_SHARED: Final = ("--project", "--store", "--passphrase-fd")
"""The options that all commands share. Each of them takes a value."""

_UNKNOWN_OPTION: Final = "unknown option (not shown, because it may be a secret value)"
_TOO_MANY: Final = "too many arguments (not shown, because one may be a secret value)"

IN_HISTORY: Final = "If {} is now in your shell's history, remove it from there."
"""The advice for a word on the command line that must not be there. `{}` stands for what the word may be."""

_TYPED_ONLY: Final = {
    "set": ("`set` takes only the secret's name", "set NAME", "value"),
    "recover use": ("`recover use` takes the code only from the terminal or standard input", "recover use", "code"),
    "key add-passphrase": ("`key add-passphrase` takes no passphrase", "key add-passphrase", "passphrase"),
}
"""What a command without surplus words takes, how to run it, and what the surplus words may be."""

_USUAL_WORDS: Final = {
    "add": ("set", "add-passphrase", "add-file"),
    "change": ("set", "rotate"),
    "cat": ("get",),
    "create": ("set", "create", "add-passphrase", "add-file"),
    "find": ("search",),
    "ls": ("list",),
    "mv": ("rename",),
    "new": ("set", "create", "add-passphrase", "add-file"),
    "print": ("get",),
    "put": ("set",),
    "read": ("get",),
    "remove": ("delete", "remove"),
    "rm": ("delete", "remove"),
    "delete": ("delete", "remove"),
    "del": ("delete", "remove"),
    "run": ("exec",),
    "show": ("get", "list", "explain"),
    "status": ("doctor",),
    "store": ("set",),
    "update": ("set",),
    "verify": ("check",),
    "view": ("get",),
    "write": ("set",),
}
"""Words of other programs, with the commands and verbs that the person may mean."""

_OWN_WORDS_ONLY: Final = re.compile(
    "the following arguments are required: .+|one of the arguments .+ is required|argument [^:]+: ("
    r"expected (one|at least one|at most one|[0-9]+) arguments?|not allowed with argument [^:]+|invalid choice \(.+\))"
)
"""Messages of argparse that contain only names of the program's own options and arguments."""


def parse(given: list[str]) -> argparse.Namespace:
    """Parse the command line.

    Raises:
        SystemExit: the arguments are invalid, or help was requested.
    """
    name = command_in(given)
    unnamed = name is None and not any(word in ("-h", "--help", "--version") for word in given)
    if unnamed and sys.stdin is not None and sys.stdin.isatty():
        given = given if _has_unknown_option(given) else ["--help"]
    elif unnamed and not _has_unknown_option(given):
        given, name = [*given, "serve"], "serve"
    parser = _Parser(
        prog=command(),
        description="Keeps credentials out of chats: encrypted, allowlisted per project, and decided by you.",
        epilog="Without a command, this runs the MCP server if standard input is a pipe.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"claude-secrets {__version__}")
    add_common(parser, None)
    if unnamed and name is None and given != ["--help"]:
        parser.error(_UNKNOWN_OPTION)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    # Building the parsers of all commands takes longer than running some of them.
    for each in [name] if name in COMMANDS and name == given[0] else COMMANDS:
        line = COMMANDS[each]
        one = commands.add_parser(each, help=line, description=line, allow_abbrev=False)
        if each == name:
            _add_options(one, each)
    options, unknown = parser.parse_known_args(given)
    if unknown:
        typed = " ".join(filter(None, (options.command, getattr(options, "verb", None))))
        if typed in _TYPED_ONLY and any(not word.startswith("-") for word in unknown):
            _refuse_typed(*_TYPED_ONLY[typed])
        only_options = all(word.startswith("-") for word in unknown)
        options.parser.error(_UNKNOWN_OPTION if only_options else _TOO_MANY)
    return options


def _has_unknown_option(given: list[str]) -> bool:
    """Return whether the words, which name no command, contain an option that not all commands share."""
    words = iter(given)
    for word in words:
        option, equals, _ = word.partition("=")
        if option not in _SHARED:
            return True
        if not equals:
            next(words, None)
    return False


def _refuse_typed(takes: str, run: str, what: str) -> NoReturn:
    output.error(f"{takes} (the rest is not shown, because it may be the {what})")
    output.hint(f"run `{command()} {run}`, then type the {what}. {IN_HISTORY.format(f'the {what}')}")
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
        if word in _SHARED:
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None


class _Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors have this program's format and do not repeat the arguments."""

    def error(self, message: str) -> NoReturn:
        # argparse's own message repeats the rejected words, and one of them may be a secret value.
        argument, _, problem = message.partition(": ")
        if problem.startswith("invalid int value"):
            message = f"{argument}: the value must be a whole number"
        elif problem.startswith("ignored explicit argument"):
            message = f"{argument}: this option takes no value"
        elif message not in (_UNKNOWN_OPTION, _TOO_MANY) and not _OWN_WORDS_ONLY.fullmatch(message):
            message = "invalid arguments (not shown, because one may be a secret value)"
        self._end(message)

    def _end(self, message: str, hint: str = "") -> NoReturn:
        output.error(message)
        output.hint(f"{hint}{self.prog} --help")
        raise SystemExit(WRONG_USAGE)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is none of the action's choices. argparse's own message would repeat the value."""
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        if action.metavar in ("COMMAND", "VERB"):
            meant = _meant(str(value), choices)
            hint = f"did you mean `{self.prog} {meant}`? To see all {action.metavar.lower()}s: " if meant else ""
            self._end(f"unknown {action.metavar.lower()} (not shown, because it may be a secret value)", hint)
        raise argparse.ArgumentError(action, f"invalid choice (choose from {', '.join(choices)})")


def _meant(word: str, choices: list[str]) -> str | None:
    """Return the command or verb that the person probably means, or None. `word` is the word that they typed."""
    word = word.lower()
    if word == "help":
        return "--help"
    usual = [choice for choice in _USUAL_WORDS.get(word, ()) if choice in choices]
    return next(iter(usual or difflib.get_close_matches(word, choices, 1, 0.7)), None)
