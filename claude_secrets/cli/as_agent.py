"""Runs a command for an agent. The gate decides about the command, as it does about a call of an MCP tool.

Always: the agent's project is found from the working directory of the agent's own process. A later `cd`, an option or a
variable cannot change the project. Agents cannot run commands that are only for the person.
"""

import os
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Final

from claude_secrets.agent.detection import SANDBOX, Agent
from claude_secrets.agent.gate import Gate
from claude_secrets.cli import variables
from claude_secrets.cli.asking import value_from_input
from claude_secrets.cli.commands import hook, serve
from claude_secrets.cli.output import say, say_json, write
from claude_secrets.cli.teardown import close_at_end
from claude_secrets.errors import CallerError, Code, DeniedError, SecretsError
from claude_secrets.model import Ask, Call, Channel, ConsentQuestion, Declined, Done, Refused, Tool
from claude_secrets.paths import expanded, in_own_terminal, own_directories, working_directory
from claude_secrets.policy.config import CONFIG
from claude_secrets.policy.project import CallOrigin

_TOLD: Final = re.compile(r"-{0,2}[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_PLACES: Final = ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "CLAUDE_PROJECT_DIR")
_PLACE_PREFIX: Final = "XDG_"
_SETTING_PREFIX: Final = "CLAUDE_SECRETS_"


def run(agent: Agent, options: Namespace, given: Sequence[str], *, asks: bool) -> int:
    """Run one command for an agent.

    `given` contains the words of the command line. If `asks` is set, a server may ask the person questions.

    Raises:
        DeniedError: PERSON_ONLY, or the gate's refusal.
    """
    if agent.sign == SANDBOX and options.command != "hook":
        raise _confined()
    _refuse_options(options, given)
    act = _ALLOWED.get(options.command)
    if act is None:
        raise _person_only(f"only the person may run `{options.command}`", given)
    process = agent.process
    if process is None or process.directory is None or not process.environment:
        if options.command == "hook":
            return hook.answer(options.event, Path(os.sep))  # the root directory has no project
        raise _unseen(agent)
    before = dict(os.environ)
    _stand_where(process.environment, settings=options.command == "serve")
    return act(options, _Caller(agent.sign, process.directory, given, asks=asks), before)


def _confined() -> DeniedError:
    return DeniedError(
        Code.PERSON_ONLY,
        "In a container or sandbox, this command is refused, because it cannot detect whether an agent runs it.",
        f"If you set up this sandbox yourself, put `namespace: mine` into {own_directories().account / CONFIG}",
    )


def _unseen(agent: Agent) -> DeniedError:
    return DeniedError(
        Code.NO_PROJECT,
        f"An agent runs this command ({agent.sign}), but the agent's project cannot be found, so nothing is allowed.",
        "The agent can instead use the tools of the MCP server that the agent's client started.",
    )


class _Caller:
    """Passes one agent's calls to the gate. `directory` is the working directory of the agent's process."""

    def __init__(self, sign: str, directory: Path, given: Sequence[str], *, asks: bool) -> None:
        self.directory = directory
        self.given = given
        self.asks = asks
        self._client = f"command line ({sign})"
        self._where = CallOrigin(argument=None, environment=None, root=None, working_directory=directory)

    @cached_property
    def _gate(self) -> Gate:
        gate = Gate.open(os.environ)
        close_at_end(gate.close)
        return gate

    def close(self) -> None:
        """Close the store."""
        self._gate.close()

    def done(self, call: Call) -> Done:
        """Carry out a call without asking the person for consent. Raises `SecretsError` if the call is refused."""
        gate = self._gate
        outcome = gate.call(call, self._where, client=self._client)
        if isinstance(outcome, Ask) and isinstance(outcome.question, ConsentQuestion):
            nobody = Declined(digest=outcome.question.digest, channel=Channel.NONE, said_no=False)
            outcome = gate.call(call, self._where, nobody, client=self._client)
        if isinstance(outcome, Refused):
            raise outcome.error
        if isinstance(outcome, Ask):  # `input_secret` is no command
            raise TypeError
        return outcome


_Act = Callable[[Namespace, _Caller, dict[str, str]], int]


def _get(options: Namespace, caller: _Caller, _before: dict[str, str]) -> int:
    done = caller.done(Call(tool=Tool.GET_SECRET, name=options.name))
    write(done.text.encode())
    return 0


def _set(options: Namespace, caller: _Caller, _before: dict[str, str]) -> int:
    if options.access or options.expires:
        raise _person_only("only the person may choose a secret's access and expiry", caller.given)
    if sys.stdin is not None and sys.stdin.isatty():  # a person's terminal, or a terminal where nobody types
        raise CallerError(Code.INVALID_ARGUMENTS, "An agent must pass the value on standard input, not type it.")
    value = value_from_input(options.name, exact=options.exact)
    done = caller.done(Call(tool=Tool.SET_SECRET, name=options.name, value=value))
    say(done.text)
    return 0


def _delete(options: Namespace, caller: _Caller, _before: dict[str, str]) -> int:
    done = caller.done(Call(tool=Tool.DELETE_SECRET, name=options.name))
    say(done.text)
    return 0


def _list(options: Namespace, caller: _Caller, _before: dict[str, str]) -> int:
    return _show(options, caller, Call(tool=Tool.LIST_SECRETS))


def _search(options: Namespace, caller: _Caller, _before: dict[str, str]) -> int:
    return _show(options, caller, Call(tool=Tool.SEARCH_SECRETS, pattern=options.pattern))


def _show(options: Namespace, caller: _Caller, call: Call) -> int:
    done = caller.done(call)
    if options.json:
        say_json(dict(done.data))
        return 0
    names, use_only = done.data["names"], done.data["use_only"]
    if not isinstance(names, list) or not isinstance(use_only, list):
        raise TypeError
    for name in names:
        say(f"{name}  use-only" if name in use_only else name)
    return 0


def _exec(options: Namespace, caller: _Caller, before: dict[str, str]) -> int:
    from claude_secrets.cli.commands import exec as exec_command

    def values(names: Sequence[str], accept: Callable[[Mapping[str, str]], object]) -> dict[str, str]:
        values_by_name = {}
        for name in names:
            with suppress(CallerError):  # not found; the caller reports all missing names together
                values_by_name[name] = caller.done(Call(tool=Tool.GET_SECRET, name=name, use=True)).text
        accept(values_by_name)
        return values_by_name

    choice = variables.Choice(options.file, options.only, dangerous_too=options.allow_dangerous_names)

    def missing(names: Sequence[str]) -> str:
        return f"The person can store '{names[0]}': {in_own_terminal(caller.directory, f'set {names[0]}')}"

    source = variables.Source(values, caller.close, missing=missing)
    return exec_command.start(options.program, choice, source, before, redact=True, sealed=True)


def _hook(options: Namespace, caller: _Caller, _before: dict[str, str]) -> int:
    return hook.answer(options.event, caller.directory)


def _serve(options: Namespace, caller: _Caller, before: dict[str, str]) -> int:
    """Start a server that serves only the agent's own project.

    Some clients set the same variables for their servers as for agents' commands, so an agent may have started this
    server.
    """
    environment = dict(os.environ)
    if named := options.project or before.get("CLAUDE_PROJECT_DIR"):
        environment["CLAUDE_PROJECT_DIR"] = str(expanded(named))
    os.chdir(caller.directory)
    return serve.start(options, environment=environment, project=None, bound=True, asks=caller.asks)


_ALLOWED: Final[dict[str, _Act]] = {
    "serve": _serve,
    "hook": _hook,
    "get": _get,
    "set": _set,
    "delete": _delete,
    "list": _list,
    "search": _search,
    "exec": _exec,
}


def _refuse_options(options: Namespace, given: Sequence[str]) -> None:
    if options.command == "serve":  # the person wrote the server's arguments into the client's configuration
        return
    for option in ("project", "store", "scope"):
        if getattr(options, option, None):
            raise _person_only(f"only the person may choose --{option}", given)


def _person_only(what: str, given: Sequence[str]) -> SecretsError:
    # The hint shows names and options, and no other words, because another word may be a secret value.
    words = " ".join(word if _TOLD.fullmatch(word) else "…" for word in given)
    return DeniedError(
        Code.PERSON_ONLY,
        f"An agent runs this command, but {what}.",
        f"The person can run it: {in_own_terminal(working_directory(), words)}",
    )


def _stand_where(environment: Mapping[str, str], *, settings: bool) -> None:
    """Find the person's own files with the variables of the agent's process, as this process may have other variables.

    This function changes `os.environ`, because the libraries for directories and keyrings read only `os.environ`. If
    `settings` is set, this program's own variables are not changed, because a client's configuration may choose the
    store and the key file.
    """
    for name in {*os.environ, *environment}:
        if name.startswith(_SETTING_PREFIX) and settings:
            continue
        if name in _PLACES or name.startswith((_PLACE_PREFIX, _SETTING_PREFIX)):
            if name in environment and name != "CLAUDE_PROJECT_DIR":
                os.environ[name] = environment[name]
            else:
                os.environ.pop(name, None)
