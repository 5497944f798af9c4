"""`hook`: what Claude Code's hooks run; the event comes on standard input, the answer goes to standard output.

Always: a hook that fails says so on standard error, without what it was given, and stops nothing; the formats are those
of https://code.claude.com/docs/en/hooks (`hookSpecificOutput`).
"""

import json
import os
import re
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

from claude_secrets.cli.ending import at_end
from claude_secrets.cli.guarded import NO_PATHS, Guard, texts
from claude_secrets.cli.output import note, say
from claude_secrets.custody import Custody
from claude_secrets.errors import SecretsError
from claude_secrets.gate import Gate
from claude_secrets.model import Call, Done, Tool
from claude_secrets.own_files import Config, read_config
from claude_secrets.ownership import at_each_call
from claude_secrets.paths import command, own_directories, store_path, usual_store, working_directory
from claude_secrets.project import Whereabouts
from claude_secrets.store import Store

SECONDS: Final = 10
"""How long a hook may take before it gives up."""

SIZE_LIMIT: Final = 64 << 20
"""Bytes of an event, at most."""

SHORTEST: Final = 16
"""Characters of a value that is taken out of what tools print, at least: shorter ones stand in texts by chance."""

_KEPT: Final = "This is where Claude Secrets keeps its store or a key."

NAMES_LIMIT: Final = 100
"""Names that are told at the start of a session, at most."""

_READING: Final = ("Read", "NotebookRead")
_WRITING: Final = ("Edit", "MultiEdit", "Write", "NotebookEdit")
_SEARCHING: Final = ("Grep", "Glob")
_PATHS: Final = ("file_path", "notebook_path", "path")
_MOVING: Final = frozenset(
    ("move", "rename", "copy", "link", "symlink", "delete", "remove", "trash", "extract", "unzip")
)
"""Words in names of tools that change what is below a directory that they are given."""

Event: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, object] | None


def add_arguments(parser: ArgumentParser) -> None:
    """Take the event's name; what is wrong must not end with code 2, by which a hook blocks."""
    parser.add_argument("event", metavar="EVENT", nargs="?", default="", help=", ".join(EVENTS))


def run(options: Namespace) -> int:
    """Answer one event for the project that it names."""
    return answer(options.event, None)


def answer(name: str, directory: Path | None) -> int:
    """Answer the event on standard input, for the project of an agent's `directory` or the one that the event names."""
    try:
        _begin_waiting()
        act = EVENTS[name]
        event = json.loads(sys.stdin.buffer.read(SIZE_LIMIT))
        hook = _Hook(event, directory)
        said = act(hook, event)
    except SecretsError as error:
        note(f"claude-secrets hook: {error.code}")
        return 0
    except Exception as error:  # noqa: BLE001  a hook stops nothing, and an exception's text may hold a value
        note(f"claude-secrets hook {name if name in EVENTS else '(no such event)'}: {type(error).__name__}")
        return 0
    if said is not None:
        say(json.dumps(said))
    return 0


class _Hook:
    """The gate for the project in which an event happened."""

    def __init__(self, event: Event, directory: Path | None) -> None:
        stands = event.get("cwd")
        named = os.environ.get("CLAUDE_PROJECT_DIR") if directory is None else None
        self.directory = Path(stands) if isinstance(stands, str) else working_directory()
        self._where = Whereabouts(
            argument=None,
            environment=Path(named) if named else None,
            root=None,
            working_directory=Path(named) if named else directory or self.directory,
        )

    @cached_property
    def _gate(self) -> Gate:
        configured = read_config(own_directories(), at_each_call).store
        store = _store(store_path(None, os.environ, configured))
        at_end(store.close)
        return Gate(store=store, config=own_directories())

    def names(self) -> tuple[list[str], list[str]]:
        """The names that agents of the project may use, and those of them that are use-only."""
        outcome = self._gate.call(Call(tool=Tool.LIST_SECRETS), self._where, client="hook")
        if not isinstance(outcome, Done):
            return [], []
        names, use_only = outcome.data["names"], outcome.data["use_only"]
        return (names, use_only) if isinstance(names, list) and isinstance(use_only, list) else ([], [])

    def values(self) -> dict[str, str]:
        """The values of those, as far as they are long enough to be told from other text."""
        found = self._gate.visible_values(self._where)
        return {name: value for name, value in found.items() if len(value) >= SHORTEST}


def _session_start(hook: _Hook, _event: Event) -> Answer:
    names, use_only = hook.names()
    if not names:
        return None
    listed = [f"{name} (use-only)" if name in use_only else name for name in names[:NAMES_LIMIT]]
    more = f", and {len(names) - NAMES_LIMIT} more (list_secrets)" if len(names) > NAMES_LIMIT else ""
    text = (
        f"Claude Secrets keeps credentials for this project: {', '.join(listed)}{more}. "
        f"To use one without seeing it: `{command()} exec --only NAME -- COMMAND`, or secret://NAME in a .env file "
        f"and `{command()} exec -- COMMAND`. Where a credential is missing call input_secret, which asks the person "
        "for it; never ask for it in the chat."
    )
    return _specific("SessionStart", additionalContext=text)


def _post_tool_use(hook: _Hook, event: Event) -> Answer:
    values = hook.values()
    if (wanted := _asked_for(event)) in values and wanted not in hook.names()[1]:
        del values[wanted]
    redacted, count = _redacted(event.get("tool_response"), values)
    if not count:
        return None
    return _specific("PostToolUse", updatedToolOutput=redacted)


def _asked_for(event: Event) -> str:
    """The name of the secret that the agent has asked a server for by `get_secret`; the gate has decided on it."""
    tool, given = str(event.get("tool_name")), event.get("tool_input")
    if not (tool.startswith("mcp__") and tool.endswith("__get_secret") and isinstance(given, dict)):
        return ""
    return str(given.get("name"))


def _user_prompt_submit(hook: _Hook, event: Event) -> Answer:
    from claude_secrets.credentials import kinds_in
    from claude_secrets.redaction import Finder, likely

    prompt = str(event.get("prompt", ""))
    data = prompt.encode("utf-8", "replace")
    values = likely(hook.values(), [data])
    stored = sorted({found.name for found in Finder(values).find(data, before=None, final=True)[0]}) if values else []
    kinds = [] if stored else kinds_in(prompt)
    if not stored and not kinds:
        return None
    what = f"the value of {', '.join(stored)}" if stored else f"what looks like {' and '.join(kinds)}"
    warning = (
        f"Your prompt holds {what}. It is in this session's transcript and goes to the model; think of replacing it. "
        "Next time let the agent call input_secret, which asks you outside of the chat."
    )
    advice = f"The person's prompt holds {what}. Do not repeat it, write it to a file or put it into a command. " + (
        f"Use it as secret://{stored[0]}." if stored else "Offer to call input_secret, so that it is stored instead."
    )
    return {"systemMessage": warning, **_specific("UserPromptSubmit", additionalContext=advice)}


def _pre_tool_use(hook: _Hook, event: Event) -> Answer:
    tool, given = event.get("tool_name"), event.get("tool_input")
    if not isinstance(tool, str) or not isinstance(given, dict):
        return None
    if tool in _SEARCHING:
        return _searched(tool, given, _guard(hook))
    if tool in _READING or tool in _WRITING:
        named = {path for name in _PATHS if isinstance(path := given.get(name), str)}
        return _touched(named, _guard(hook), own=tool in _WRITING, above=False) if named else None
    if tool.startswith("mcp__"):
        words = re.split("[^a-z]+", re.sub("([A-Z])", r" \1", tool.rpartition("__")[2]).lower())
        return _touched(set(texts(given, NO_PATHS)), _guard(hook), own=True, above=not _MOVING.isdisjoint(words))
    return None


def _touched(named: set[str], guard: Guard, *, own: bool, above: bool) -> Answer:
    """The refusal of a tool that is given these paths; `own`: the person's own files count; `above`: what is below."""
    for path in (path for text in named for path in guard.leads(text)):
        if guard.keeps(path):
            return _denied(_KEPT)
        if own and guard.owns(path):
            return _denied("These are the person's own settings of Claude Secrets, which only they change.")
        if above and guard.is_below(path):
            return _denied("What Claude Secrets needs lies somewhere in that directory.")
    return None


def _searched(tool: str, given: Mapping[str, object], guard: Guard) -> Answer:
    directory = path if isinstance(path := given.get("path"), str) else "."
    pattern = given.get("pattern" if tool == "Glob" else "glob")
    if any(guard.keeps(path) for path in guard.leads(directory)):
        return _denied(_KEPT)
    if tool == "Grep" and any(guard.has_key_below(path) for path in guard.leads(directory)):
        return _denied("A key of Claude Secrets lies somewhere in that directory: search in a narrower one.")
    if isinstance(pattern, str) and guard.may_match(pattern, directory):
        return _denied(f"{_KEPT} Search in a narrower directory.")
    return None


def _denied(why: str) -> Answer:
    advice = "Names are told by list_secrets, and values are used by reference."
    return _specific("PreToolUse", permissionDecision="deny", permissionDecisionReason=f"{why} {advice}")


def _guard(hook: _Hook) -> Guard:
    """What is guarded; where `config.yml` is broken, of the usual store."""
    try:
        config = read_config(own_directories(), at_each_call)
    except SecretsError:
        config = Config()
    stores = {store_path(None, os.environ, config.store), usual_store(config.usual_store)}
    project = os.environ.get("CLAUDE_PROJECT_DIR")
    bases = [hook.directory, Path(project)] if project else [hook.directory]
    return Guard(stores, [key for store in stores for key in _keys(store)], bases)


def _keys(path: Path) -> list[Path]:
    """The key files of a store, as far as they can be told."""
    with closing(_store(path)) as store:
        try:
            return store.key_files()
        except SecretsError:
            return [] if store.custody.named_file is None else [store.custody.named_file]


def _store(path: Path) -> Store:
    return Store(path, Custody(environment=os.environ), time.time)


def _redacted(response: object, values: Mapping[str, str]) -> tuple[object, int]:
    """What a tool answered with references in place of values, and how many texts of it have changed."""
    from claude_secrets.redaction import Finder, Redactor, likely

    said = [text.encode("utf-8", "surrogatepass") for text in texts(response)]
    found = likely(values, said)
    if not found:
        return response, 0
    finder, changed = Finder(found), 0

    def replace(text: str) -> str:
        nonlocal changed
        redactor, data = Redactor(finder), text.encode("utf-8", "surrogatepass")
        redacted = redactor.feed(data) + redactor.finish()
        changed += redacted != data
        return redacted.decode("utf-8", "surrogatepass")

    return _mapped(response, replace), changed


def _mapped(value: object, replace: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, list):
        return [_mapped(one, replace) for one in value]
    if isinstance(value, dict):
        return {replace(key): _mapped(one, replace) for key, one in value.items()}
    return value


def _specific(event: str, **fields: object) -> dict[str, object]:
    return {"hookSpecificOutput": {"hookEventName": event, **fields}}


def _begin_waiting() -> None:
    """Give up in time, so that a keyring or a client that waits does not hold the session up."""
    if hasattr(signal, "SIGALRM"):

        def give_up(*_: object) -> None:
            raise TimeoutError

        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(SECONDS)


EVENTS: Final[dict[str, Callable[[_Hook, Event], Answer]]] = {
    "session-start": _session_start,
    "user-prompt-submit": _user_prompt_submit,
    "pre-tool-use": _pre_tool_use,
    "post-tool-use": _post_tool_use,
}
