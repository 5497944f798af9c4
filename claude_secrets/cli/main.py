"""The person's command line: finds the command, runs it, and turns every error into one line and an exit code.

Always: no value in arguments or errors; a command's module is imported only when it is run. One file per command,
each with `add_arguments(parser)` and `run(options) -> int`.
"""

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final, NoReturn

from claude_secrets import core_dumps, interrupts
from claude_secrets.agent.detection import Agent
from claude_secrets.cli import caller, output, presence
from claude_secrets.cli.ending import close_all, failed, finish
from claude_secrets.errors import CallerError, Cancelled, Code, CustodyError, DeniedError, SecretsError
from claude_secrets.model import Access
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


def entry() -> NoReturn:
    """Run the command of this process, and end it: taking every module down first would be a tenth of most commands."""
    try:
        os._exit(main())
    except KeyboardInterrupt:  # it came while the command was ending
        os._exit(interrupts.INTERRUPTED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 is done, 1 an error, 2 wrong usage, 3 denied, 4 key custody, 130 interrupted or cancelled.
    """
    gc.disable()  # most commands end before collecting pays; those that go on for long begin it again
    given = [*(sys.argv[1:] if arguments is None else arguments)]  # `list` is a command here, once it was run
    core_dumps.forbid()
    output.prepare()
    try:
        code = _run(given)
        output.flush()
    except BrokenPipeError:  # the reader has gone, as `head` does: nobody has to be told
        code = 1
    except output.UnwrittenError as error:
        output.error(f"The output could not be written: {error.strerror}.")
        code = 1
    finally:
        close_all()
        output.abandon()
    return code


def _run(given: list[str]) -> int:
    try:
        options = _parse(given)
        return _serve(options, given) if options.command == "serve" else _command(options, given)
    except SecretsError as error:
        failed(error)
        return _tell(error)
    except Cancelled:
        output.note("Cancelled; nothing was changed.")
        return interrupts.INTERRUPTED
    except KeyboardInterrupt:
        return interrupts.INTERRUPTED
    except (BrokenPipeError, output.UnwrittenError):
        raise
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
        return min(code, 1) if _command_in(given) == "hook" else code  # by 2 a hook would block
    except Exception as error:  # noqa: BLE001  nothing may escape: a traceback could show a value
        fault = f"Something went wrong inside Claude Secrets ({type(error).__name__})."
        return _tell(SecretsError(Code.INTERNAL, fault))


def _serve(options: argparse.Namespace, given: Sequence[str]) -> int:
    start = caller.who_started(lambda: _works_in_namespaces(options))
    if start.agent is not None:
        return int(_as_agent().run(start.agent, options, given, asks=False))
    if start.marked:
        return int(_as_agent().run(Agent("its client", start.client), options, given, asks=True))
    return int(_module("serve").run(options))


def _command(options: argparse.Namespace, given: Sequence[str]) -> int:
    interrupts.let_clean_up()
    try:
        return _command_of(caller.find_agent(lambda: _works_in_namespaces(options)), options, given)
    except Exception as error:
        if options.command != "hook":
            raise
        return int(_module("hook").fail(options.event, error))


def _command_of(agent: Agent | None, options: argparse.Namespace, given: Sequence[str]) -> int:
    if agent is not None:
        return int(_as_agent().run(agent, options, given, asks=False))
    if _loosens(options):
        as_output = options.command == "export"
        presence.require(
            f"`{options.command}`",
            lambda: _opening().scripts_may(_opening().invocation_of(options)),
            as_output=as_output,
        )
    code = int(_module(options.command).run(options))
    finish()
    return code


def _loosens(options: argparse.Namespace) -> bool:
    """Whether the command gives agents or whoever has its output more than they have."""
    match options.command:
        case "trust" | "allow" | "export" | "recover":
            return True
        case "access":
            return options.access is Access.READABLE
        case "backup":
            return not options.verify
        case "key":
            return bool(options.verb != "list")
        case _:
            return False


def _works_in_namespaces(options: argparse.Namespace) -> bool:
    try:
        return bool(_opening().works_in_namespaces(_opening().invocation_of(options)))
    except SecretsError:  # a file that cannot be understood lifts nothing
        return False


def _opening() -> ModuleType:
    return importlib.import_module("claude_secrets.cli.opening")


def _as_agent() -> ModuleType:
    return importlib.import_module("claude_secrets.cli.as_agent")


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"claude_secrets.cli.commands.{name}")


def _parse(given: list[str]) -> argparse.Namespace:
    name = _command_in(given)
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
    _add_common(parser, None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    # Making the parsers of all commands takes longer than the work of some.
    for each in [name] if name in COMMANDS and name == given[0] else COMMANDS:
        line = COMMANDS[each]
        one = commands.add_parser(each, help=line, description=line, allow_abbrev=False)
        if each == name:
            _module(each).add_arguments(one)
            _add_common(one, argparse.SUPPRESS)
    return parser.parse_args(given)


def _add_common(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument("--project", metavar="DIR", default=default, help="the project's directory")
    parser.add_argument("--store", metavar="PATH", default=default, help="another store than the usual one")
    parser.add_argument(
        "--passphrase-fd",
        metavar="N",
        type=int,
        default=default,
        help="read the store's passphrase from this file descriptor",
    )


def _command_in(given: list[str]) -> str | None:
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
        raise SystemExit(2)


def _tell(error: SecretsError) -> int:
    output.error(f"[{error.code}] {error.message}")
    if error.hint:
        output.hint(error.hint)
    if isinstance(error, CallerError):
        return 1 if error.code is Code.NOT_FOUND else 2
    if isinstance(error, DeniedError):
        return 3
    return 4 if isinstance(error, CustodyError) else 1
