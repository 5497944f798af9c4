"""Start a server exactly as one client would, do the handshake, and say what happened.

Always: nothing of an entry is passed as an argument of a process other than the server, and no failure repeats the
value of an entry's variable. After `launch` returns or raises, neither the server nor the helper process is left.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Final, cast

from claude_secrets.clients.habits import HABITS, Habits
from claude_secrets.clients.known import Account, Client
from claude_secrets.clients.outcomes import Failure, Launched, Reason, Start, meaning, shown
from claude_secrets.programs import named
from claude_secrets.untrusted_text import plain

_MARKER: Final = "CLAUDE_SECRETS_AGENT"
"""The variable by which commands that the started program runs are recognised as an agent's, as under a client."""

_MARGIN: Final = 60.0
"""Seconds beyond the client's patience after which the helper process is killed, because it hangs.

They include the start of the helper process itself, which can take 20 seconds on a busy Windows machine.
"""


def launch(client: Client, entry: Mapping[str, object], *, account: Account, project: Path) -> Launched:
    """Start the server of an entry as `client` does, list its tools, and end it as `client` does.

    `entry` is the client's entry as it is in its configuration file. `project` is the directory in which the person
    would start the client. The account's environment is the person's own.

    Raises:
        KeyboardInterrupt: the person pressed Ctrl-C; the server has ended.
    """
    start = start_of(client, entry, account=account, project=project)
    if isinstance(start, Failure):
        return Launched(0.0, failure=start)
    report = _report(start)
    return meaning(start, report)


def start_of(client: Client, entry: Mapping[str, object], *, account: Account, project: Path) -> Start | Failure:
    """Return what a client does to start the server of an entry, or why it cannot do that."""
    habits = HABITS[client.id]
    command, arguments, additional = entry.get("command"), entry.get("args", []), entry.get("env", {})
    if not isinstance(command, str) or not command:
        return Failure(Reason.BAD_ENTRY, "The entry has no command.")
    if not isinstance(arguments, list) or not all(isinstance(each, str) for each in arguments):
        return Failure(Reason.BAD_ENTRY, "The entry's `args` are not a list of texts.")
    if not isinstance(additional, dict) or not all(isinstance(each, str) for each in additional.values()):
        return Failure(Reason.BAD_ENTRY, "The entry's `env` is not a table of texts.")
    directory = _directory(client, habits, entry, account, project)
    if not directory.is_dir():
        return Failure(Reason.NO_DIRECTORY, f"The working directory {plain(str(directory))} does not exist.")
    environment = _in_upper_case(_environment(habits, entry, account, project), account)
    expanded = partial(_expanded, habits=habits, environment=environment, account=account)
    own = {name: expanded(value) for name, value in additional.items()}
    _add(environment, _in_upper_case(own, account), habits)
    command = expanded(command)
    if client.id == "vscode" and command.startswith("~/"):
        command = str(account.home / command[2:])
    found = _find(command, environment, directory, account.platform, habits)
    if isinstance(found, Failure):
        return found
    return Start(
        command=found,
        arguments=tuple(map(expanded, arguments)),
        environment=environment,
        directory=directory,
        patience=_patience(client, habits, entry, account),
        ending=habits.ending,
        hidden=tuple({*additional.values(), *own.values()}),
    )


def _directory(client: Client, habits: Habits, entry: Mapping[str, object], account: Account, project: Path) -> Path:
    usual = habits.directory(account, project)
    given = entry.get("cwd")
    if client.id not in {"codex", "gemini", "vscode"} or not isinstance(given, str) or not given:
        return usual
    if client.id == "vscode" and given.startswith("~"):
        given = given.replace("~", str(account.home), 1)
    return usual / given


def _environment(habits: Habits, entry: Mapping[str, object], account: Account, project: Path) -> dict[str, str]:
    environment = habits.inherited(account, project)
    forwarded = entry.get(habits.forwarded) if habits.forwarded else None
    for name in forwarded if isinstance(forwarded, list) else ():
        if isinstance(name, str) and name in account.environment:
            environment[name] = account.environment[name]
    return environment


def _add(environment: dict[str, str], own: Mapping[str, str], habits: Habits) -> None:
    """Add the entry's variables to the environment."""
    for name, value in own.items():
        if name.upper() in habits.ignored:
            continue
        before = environment.get(name, "")
        appended = habits.appends_path and name.upper() == "PATH" and before
        environment[name] = f"{before}{os.pathsep}{value}" if appended else value


def _in_upper_case(variables: Mapping[str, str], account: Account) -> dict[str, str]:
    """Write names in upper case on Windows, which ignores their case, so that no variable is there twice."""
    return {_name(name, account): value for name, value in variables.items()}


def _name(name: str, account: Account) -> str:
    return name.upper() if account.platform == "win32" else name


def _expanded(text: str, habits: Habits, environment: Mapping[str, str], account: Account) -> str:
    """Replace the variables in a text of an entry, as the client does. Unknown variables become empty."""

    def value(found: re.Match[str]) -> str:
        parts = found.groupdict()
        name = parts.get("bare") or parts.get("name") or ""
        return environment.get(_name(name, account), parts.get("default") or "")

    return habits.reference.sub(value, text) if habits.reference else text


def _patience(client: Client, habits: Habits, entry: Mapping[str, object], account: Account) -> float:
    if client.id == "claude-code":
        milliseconds = account.environment.get("MCP_TIMEOUT", "")
        if milliseconds.isascii() and milliseconds.isdecimal() and int(milliseconds) > 0:
            return min(int(milliseconds) / 1000, _LONGEST)
    if habits.own_patience is not None:
        key, unit = habits.own_patience
        given = entry.get(key)
        if isinstance(given, int | float) and not isinstance(given, bool) and given > 0:
            return min(given * unit, _LONGEST)
    return habits.patience


_LONGEST: Final = 600.0


def _find(
    command: str, environment: Mapping[str, str], directory: Path, platform: str, habits: Habits
) -> str | Failure:
    """Return the absolute path of the program that the client would start."""
    word = command
    if os.path.dirname(command):  # noqa: PTH120  Path drops "./"
        word = str(directory / command)
    search = dict(environment)
    if platform == "win32" and not habits.runs_batch_files:
        search["PATHEXT"] = ".COM;.EXE"
    found = named(word, search, platform=platform)
    if found is not None:
        return os.path.join(directory, found)  # noqa: PTH118  an entry of PATH may be relative
    if platform != "win32" and shutil.which(word, mode=os.F_OK, path=search.get("PATH", "")) is not None:
        return Failure(Reason.NOT_EXECUTABLE, f"{shown(command)} is there, but it is not an executable file.")
    return _not_found(command)


def _not_found(command: str) -> Failure:
    where = "" if os.path.dirname(command) else ", because it is in no directory of the client's PATH"  # noqa: PTH120
    return Failure(Reason.NOT_FOUND, f"The client cannot find the command{where}: spawn {shown(command)} ENOENT.")


def _report(start: Start) -> Mapping[str, object]:
    """Start the helper process, and return its report, which is empty if the helper process failed."""
    task = {**start._asdict(), "directory": str(start.directory)}
    del task["hidden"]
    process = _helper(start.directory)
    to_helper, from_helper = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)  # both are pipes
    watch = threading.Timer(start.patience + _MARGIN, process.kill)
    watch.daemon = True
    watch.start()
    try:
        with suppress(OSError):  # the helper process failed to start; its report is missing then
            to_helper.write(json.dumps(task).encode() + b"\n")
            to_helper.flush()
        line = from_helper.readline()
    finally:
        watch.cancel()
        _end(process)
    with suppress(ValueError):
        report = json.loads(line)
        if isinstance(report, dict):
            return report
    return {}


def _helper(directory: Path) -> "subprocess.Popen[bytes]":
    """Start the helper process in the server's directory, because the server may look at where its client works.

    Its own group keeps Ctrl-C from it, so that it can end the server in an orderly way. On Windows it has a console
    without a window, which the server shares, so that no window appears.
    """
    words = [sys.executable, "-P", "-m", "claude_secrets.clients.handshake"]
    environment = {**os.environ, _MARKER: "doctor"}
    if sys.platform == "win32":
        return subprocess.Popen(  # noqa: S603  our own module
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=directory,
            env=environment,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW,
        )
    else:
        return subprocess.Popen(  # noqa: S603  our own module
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Let the helper process end the server, and then end it, too."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # what was not written cannot be written any longer
                stream.close()
    try:
        process.wait(_MARGIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
