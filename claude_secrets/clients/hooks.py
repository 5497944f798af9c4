"""Add this program's hooks to Claude Code's settings, find them there, and remove them again.

The format is documented at https://code.claude.com/docs/en/hooks.

Always: hooks of other programs stay as they are.
"""

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from claude_secrets.clients import json_text
from claude_secrets.clients.known import Account, Client
from claude_secrets.clients.program import Program, own_arguments
from claude_secrets.shell_words import quoted

EVENTS: Final = {
    "SessionStart": "session-start",
    "UserPromptSubmit": "user-prompt-submit",
    "PreToolUse": "pre-tool-use",
    "PostToolUse": "post-tool-use",
    "PostToolUseFailure": "post-tool-use-failure",
}
"""Claude Code's name of each event, and the word with which `claude-secrets hook` answers it."""


class _Hook(NamedTuple):
    """A hook of this program: its event, its place in the settings, and the number of hooks in the same group."""

    event: str
    group: int
    number: int
    command: str
    together: int


def settings_file(client: Client, account: Account) -> Path | None:
    """Return the client's settings file for hooks, which need not exist; None if the client has no hooks."""
    if client.id != "claude-code":
        return None
    return (account.named("CLAUDE_CONFIG_DIR") or account.home / ".claude") / "settings.json"


def find_events(data: bytes | None) -> frozenset[str]:
    """Return the events that have a hook of this program. Raises `UnreadableFileError`."""
    return frozenset(hook.event for hook in _hooks(data))


def with_hooks(data: bytes | None, program: Program) -> bytes:
    """Return the settings with one hook of this program for each event. Raises `UnreadableFileError`."""
    content, there = data or b"", {hook.event: hook for hook in _hooks(data)}
    for event, word in EVENTS.items():
        command = _command(program, word)
        if (hook := there.get(event)) is None:
            groups = json_text.read(content, ("hooks", event))
            place = len(groups) if isinstance(groups, list) else 0
            group = {"hooks": [{"type": "command", "command": command}]}
            content = json_text.put(content, ("hooks", event, place), group)
        elif hook.command != command:
            content = json_text.put(content, ("hooks", event, hook.group, "hooks", hook.number, "command"), command)
    return content


def without_hooks(data: bytes) -> bytes:
    """Return the settings without the hooks of this program. Raises `UnreadableFileError`."""
    while found := [*_hooks(data)]:
        hook = found[-1]
        group: tuple[str | int, ...] = ("hooks", hook.event, hook.group)
        data = json_text.drop(data, group if hook.together == 1 else (*group, "hooks", hook.number))
        if json_text.read(data, ("hooks", hook.event)) == []:
            data = json_text.drop(data, ("hooks", hook.event))
    return data


def commands(program: Program) -> list[str]:
    """Return the command of each event's hook."""
    return [_command(program, word) for word in EVENTS.values()]


def _command(program: Program, word: str) -> str:
    # On Windows a shell of Claude Code's choice reads this text, and only slashes mean the same in all of them.
    words = [one.replace("\\", "/") if sys.platform == "win32" else one for one in program.words]
    return " ".join((*map(_quoted, words), "hook", word))


def _quoted(word: str) -> str:
    """Quote a word with double quotes on Windows, because cmd.exe does not know single quotes."""
    if sys.platform == "win32" and not set(word) & set('$`"!'):
        return quoted(word)
    return shlex.quote(word)


def _hooks(data: bytes | None) -> Iterator[_Hook]:
    """Yield the hooks of this program, in the order of the file."""
    found = None if data is None else json_text.read(data, ("hooks",))
    for event in EVENTS if isinstance(found, Mapping) else ():
        groups = found.get(event) if isinstance(found, Mapping) else None
        for group, value in enumerate(groups if isinstance(groups, list) else ()):
            hooks = value.get("hooks") if isinstance(value, Mapping) else None
            listed: list[Any] = hooks if isinstance(hooks, list) else []
            for number, hook in enumerate(listed):
                command = hook.get("command") if isinstance(hook, Mapping) else None
                if isinstance(command, str) and _is_own(command, event):
                    yield _Hook(event, group, number, command, len(listed))


def _is_own(command: str, event: str) -> bool:
    try:
        words = shlex.split(command.replace("\\", "/") if sys.platform == "win32" else command)
    except ValueError:  # an open quotation mark
        return False
    return (own_arguments(words) or ())[:2] == ("hook", EVENTS[event])
