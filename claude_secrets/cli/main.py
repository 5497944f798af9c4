"""The entry point of the command line: runs the command, and turns every error into one line and an exit code.

Always: errors contain no values. A command's module is imported only when the command runs.
"""

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from claude_secrets import core_dumps, exit_codes, interrupts, signals
from claude_secrets.agent.detection import Agent
from claude_secrets.cli import caller, output, presence
from claude_secrets.cli.parser import command_in, module_of, parse
from claude_secrets.cli.teardown import close_all, note_failure, run_after_success
from claude_secrets.errors import CallerError, Cancelled, Code, CustodyError, DeniedError, SecretsError

_COLLECT_AFTER = 100_000
"""The number of new objects after which Python collects garbage.

No command, and no start of the server, creates so many.
"""


def entry() -> NoReturn:
    """Run this process's command and call `os._exit`, because a regular exit takes a tenth of most commands' time."""
    gc.set_threshold(_COLLECT_AFTER)
    try:
        os._exit(main())
    except KeyboardInterrupt:  # Ctrl-C was pressed while the command was ending
        os._exit(exit_codes.INTERRUPTED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    `exit_codes` explains the codes.
    """
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    core_dumps.forbid()
    signals.keep_exit_codes()
    output.prepare()
    try:
        code = _run(given)
        output.flush()
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does; this needs no report
        code = exit_codes.FAILED
    except output.UnwrittenError as error:
        output.error(f"The output could not be written: {error.strerror}.")
        code = exit_codes.FAILED
    finally:
        close_all()
        output.abandon()
    return code


def _run(given: list[str]) -> int:
    try:
        options = parse(given)
        return _serve(options, given) if options.command == "serve" else _command(options, given)
    except SecretsError as error:
        note_failure(error)
        return _tell(error)
    except Cancelled:
        output.note("Cancelled; nothing was changed.")
        return exit_codes.INTERRUPTED
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except (BrokenPipeError, output.UnwrittenError):
        raise
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
        return min(code, exit_codes.FAILED) if command_in(given) == "hook" else code  # 2 would block the tool
    except Exception as error:  # noqa: BLE001  nothing may escape: a traceback could show a value
        fault = f"Something went wrong inside Claude Secrets ({type(error).__name__})."
        return _tell(SecretsError(Code.INTERNAL, fault))


def _serve(options: argparse.Namespace, given: Sequence[str]) -> int:
    start = caller.note_who_started(lambda: _works_in_namespaces(options))
    if start.agent is not None:
        return int(_as_agent().run(start.agent, options, given, asks=False))
    if start.marked:
        return int(_as_agent().run(Agent("its client", start.client), options, given, asks=True))
    return int(module_of("serve").run(options))


def _command(options: argparse.Namespace, given: Sequence[str]) -> int:
    interrupts.let_clean_up()
    try:
        return _command_of(caller.find_agent(lambda: _works_in_namespaces(options)), options, given)
    except Exception as error:
        if options.command != "hook":
            raise
        return int(module_of("hook").fail(options.event, error))


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
    code = int(module_of(options.command).run(options))
    run_after_success()
    return code


def _loosens(options: argparse.Namespace) -> bool:
    """Return whether the command gives more access to agents, or to readers of its output.

    The command's module decides.
    """
    says = getattr(module_of(options.command), "loosens", None)
    return bool(says is not None and says(options))


def _works_in_namespaces(options: argparse.Namespace) -> bool:
    try:
        return bool(_opening().works_in_namespaces(_opening().invocation_of(options)))
    except SecretsError:  # an invalid file gives no access
        return False


def _opening() -> ModuleType:
    return importlib.import_module("claude_secrets.cli.opening")


def _as_agent() -> ModuleType:
    return importlib.import_module("claude_secrets.cli.as_agent")


def _tell(error: SecretsError) -> int:
    output.error(f"[{error.code}] {error.message}")
    if error.hint:
        output.hint(error.hint)
    if isinstance(error, CallerError):
        return exit_codes.FAILED if error.code is Code.NOT_FOUND else exit_codes.WRONG_USAGE
    if isinstance(error, DeniedError):
        return exit_codes.DENIED
    return exit_codes.NO_KEY if isinstance(error, CustodyError) else exit_codes.FAILED
