"""`hook`: read an event of a Claude Code hook from standard input, and answer it on standard output.

Always: a failed hook reports its failure on standard error, without repeating its input. A failed hook blocks nothing,
but it withholds tool output that it could not search. Each event gets exactly one answer, within the time limit.
https://code.claude.com/docs/en/hooks defines the formats of events and answers (`hookSpecificOutput`).
"""

import json
import os
import re
import sys
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Final

from claude_secrets.agent.gate import Gate
from claude_secrets.agent.store_values import StoreValues
from claude_secrets.cli import hook_output, hook_session
from claude_secrets.cli.guarded_paths import NO_PATHS, Guard, texts
from claude_secrets.cli.hook_output import HookAnswer, HookEvent, specific
from claude_secrets.cli.output import flush, note, say
from claude_secrets.cli.teardown import close_at_end
from claude_secrets.errors import SecretsError
from claude_secrets.exit_codes import FAILED
from claude_secrets.paths import own_directories, store_path, usual_store, working_directory
from claude_secrets.policy.config import Config
from claude_secrets.policy.ownership import no_link_check
from claude_secrets.policy.personal_files import read_config
from claude_secrets.policy.project import CallOrigin
from claude_secrets.store.store import Store

SECONDS = 10.0
"""Seconds after which a hook gives up."""

OUTPUT_SECONDS = 30.0
"""Seconds after which a hook for tool output gives up. Claude Code waits longer, then shows output unchecked."""

SIZE_LIMIT: Final = 64 << 20
"""The largest event, in bytes."""

PROMPT_LIMIT: Final = 1 << 20
"""At most this many characters of a prompt are searched for likely credentials: a megabyte takes two seconds."""

_KEPT: Final = "This is where Claude Secrets keeps its store or a key."

_READING: Final = ("Read", "NotebookRead")
_WRITING: Final = ("Edit", "MultiEdit", "Write", "NotebookEdit")
_SEARCHING: Final = ("Grep", "Glob")
_PATHS: Final = ("file_path", "notebook_path", "path")
_MOVING: Final = frozenset(
    ("move", "rename", "copy", "link", "symlink", "delete", "remove", "trash", "extract", "unzip")
)
"""A tool with one of these words in its name may change everything in a directory that is its argument."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add EVENT, and accept any word: an argument error exits with code 2, which tells Claude Code to block."""
    parser.add_argument("event", metavar="EVENT", nargs="?", default="", help=", ".join(EVENTS))


def run(options: Namespace) -> int:
    """Answer the event on standard input, for the project that the event names."""
    return answer(options.event, None)


def answer(name: str, directory: Path | None) -> int:
    """Answer the event on standard input, for the project at `directory`; if None, for the one that the event names."""
    return _answer(name, lambda event: EVENTS[name](_Hook(event, directory), event))


def fail(name: str, error: Exception) -> int:
    """Answer an event with a failure, because `error` occurred before the event was read."""

    def again(_: HookEvent) -> HookAnswer:
        raise error

    return _answer(name, again)


def _answer(name: str, act: Callable[[HookEvent], HookAnswer]) -> int:
    if name not in EVENTS:
        note(
            f"claude-secrets hook: unknown event; the events are {', '.join(EVENTS)}. "
            "Fix the hook's command in your settings: until then, this hook does nothing."
        )
        return FAILED
    reply = _Reply(name)
    try:
        reply.begin_waiting()
        reply.event = _read_event()
        said = _line(act(reply.event))
    except SecretsError as error:
        reply.fail(error.code.value)
    except _UnreadableError as error:
        reply.fail(str(error))
    except Exception as error:  # noqa: BLE001  a failed hook blocks nothing, and an exception's text may hold a value
        reply.fail(type(error).__name__)
    else:
        reply.say(said)
    return 0


class _UnreadableError(Exception):
    """The event cannot be read. The error's text gives the reason, and does not repeat any part of the event."""


def _read_event() -> HookEvent:
    data = sys.stdin.buffer.read(SIZE_LIMIT + 1) if sys.stdin is not None else b""
    if len(data) > SIZE_LIMIT:
        while sys.stdin.buffer.read(1 << 20):  # the client must be able to write the whole event
            pass
        raise _UnreadableError(f"the event is larger than {SIZE_LIMIT >> 20} MiB")
    try:
        event = json.loads(data)
    except RecursionError:
        raise _UnreadableError("the event is nested too deeply") from None
    except ValueError:  # from None: the exception holds the event's text
        raise _UnreadableError("the event is not valid JSON") from None
    if not isinstance(event, dict):
        raise _UnreadableError("the event is not a JSON object")
    return event


def _line(answer: HookAnswer) -> str:
    return "" if answer is None else json.dumps(answer, allow_nan=False)


class _Reply:
    """The only answer to an event: the hook's result, or a failure if the time limit ends first."""

    def __init__(self, name: str) -> None:
        self.event: HookEvent | None = None
        self._name = name
        self._turn = threading.Lock()

    def begin_waiting(self) -> None:
        """Start the time limit. At its end the hook fails, even while waiting for a keyring, a client or a search."""
        threading.Thread(target=self._give_up, daemon=True).start()

    def say(self, line: str) -> None:
        """Print the answer, unless the event already has an answer."""
        self._turn.acquire()  # never released: the process ends after the first answer
        if line:
            say(line)

    def fail(self, why: str) -> None:
        """Answer that the hook failed. The reason `why` must not repeat any part of the event."""
        line = self._failure(why)
        self._turn.acquire()
        note(f"claude-secrets hook {self._name}: {why}")
        if line:
            say(line)

    def _failure(self, why: str) -> str:
        failed = _FAILED.get(self._name)
        if failed is None:
            return ""
        try:
            return _line(failed(self.event, why))
        except (RecursionError, ValueError):  # the event is nested too deeply, or has numbers that are not valid JSON
            return _line(failed(None, why))

    def _give_up(self) -> None:
        time.sleep(OUTPUT_SECONDS if self._name in _FAILED else SECONDS)
        try:
            self.fail(TimeoutError.__name__)
            flush()
        finally:
            os._exit(0)


class _Hook:
    """A hook's access to the store, for the project in which the event happened."""

    def __init__(self, event: HookEvent, directory: Path | None) -> None:
        stands = event.get("cwd")
        named = os.environ.get("CLAUDE_PROJECT_DIR") if directory is None else None
        self.directory = Path(stands) if isinstance(stands, str) else working_directory()
        self.where = CallOrigin(
            argument=None,
            environment=Path(named) if named else None,
            root=None,
            working_directory=Path(named) if named else directory or self.directory,
        )

    @cached_property
    def gate(self) -> Gate:
        """The agents' gate."""
        gate = Gate.open(os.environ)
        close_at_end(gate.close)
        return gate

    def values(self) -> StoreValues:
        """Return all values in the store."""
        return self.gate.every_value(self.where)


def _session_start(hook: _Hook, _event: HookEvent) -> HookAnswer:
    return hook_session.answer(hook.where, lambda: hook.gate)


def _post_tool_use(hook: _Hook, event: HookEvent) -> HookAnswer:
    return hook_output.replaced(event, hook.values()) if hook_output.can_show(event.get("tool_response")) else None


def _post_tool_use_failure(hook: _Hook, event: HookEvent) -> HookAnswer:
    return hook_output.reported(event, hook.values()) if hook_output.can_show(event.get("error")) else None


def _user_prompt_submit(hook: _Hook, event: HookEvent) -> HookAnswer:
    from claude_secrets.redaction.credentials import kinds_in

    prompt = str(event.get("prompt", ""))
    shown = hook_output.shown_in([prompt], hook.values())
    kinds = [] if shown else kinds_in(prompt[:PROMPT_LIMIT])
    if not shown and not kinds:
        return None
    what = str(shown) if shown else f"text that looks like {' and '.join(kinds)}"
    warning = (
        f"Your prompt contains {what}. This value is in the session's transcript and goes to the model; "
        "consider replacing it. Next time, let the agent call input_secret, which asks you outside the chat."
    )
    instead = f" Use the reference secret://{shown.names[0]} instead." if shown and shown.names else ""
    offer = "" if shown else " Offer to call input_secret, which stores the credential."
    advice = f"The person's prompt contains {what}. Do not repeat it, write it to a file or put it into a command."
    return {"systemMessage": warning, **specific("UserPromptSubmit", additionalContext=advice + instead + offer)}


def _pre_tool_use(hook: _Hook, event: HookEvent) -> HookAnswer:
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


def _touched(named: set[str], guard: Guard, *, own: bool, above: bool) -> HookAnswer:
    """Return a refusal if the tool must not get one of these paths, or None.

    `own`: also refuse the person's own files. `above`: also refuse directories that contain a guarded file.
    """
    for path in (path for text in named for path in guard.leads(text)):
        if guard.keeps(path):
            return _denied(_KEPT)
        if own and guard.owns(path):
            return _denied("These are the person's own settings of Claude Secrets. Only the person may change them.")
        if above and guard.holds_guarded(path):
            return _denied("That directory contains files that only Claude Secrets or the person may change.")
    return None


def _searched(tool: str, given: Mapping[str, object], guard: Guard) -> HookAnswer:
    directory = path if isinstance(path := given.get("path"), str) else "."
    pattern = given.get("pattern" if tool == "Glob" else "glob")
    if any(guard.keeps(path) for path in guard.leads(directory)):
        return _denied(_KEPT)
    if tool == "Grep" and any(guard.has_key_below(path) for path in guard.leads(directory)):
        return _denied("That directory contains a key of Claude Secrets. Search in a narrower directory.")
    if isinstance(pattern, str) and guard.may_match(pattern, directory):
        return _denied(f"{_KEPT} Search in a narrower directory.")
    return None


def _denied(why: str) -> HookAnswer:
    advice = "To see the names of secrets, call list_secrets. To use a value, write its reference, secret://NAME."
    return specific("PreToolUse", permissionDecision="deny", permissionDecisionReason=f"{why} {advice}")


def _guard(hook: _Hook) -> Guard:
    """Return the guard for the person's files and stores. A broken `config.yml` adds no store to the guard."""
    try:
        config = read_config(own_directories(), no_link_check)
    except SecretsError:
        config = Config()
    stores = {store_path(None, os.environ, config.store), usual_store(config.usual_store)}
    project = os.environ.get("CLAUDE_PROJECT_DIR")
    bases = [hook.directory, Path(project)] if project else [hook.directory]
    return Guard(stores, [key for store in stores for key in _keys(store)], bases)


def _keys(path: Path) -> list[Path]:
    """Return a store's key files. If the store cannot be read, return only the key file that the environment names."""
    with closing(Store.at(path, os.environ)) as store:
        try:
            return store.key_files()
        except SecretsError:
            return [] if store.custody.named_file is None else [store.custody.named_file]


_FAILED: Final[dict[str, Callable[[HookEvent | None, str], HookAnswer]]] = {
    "post-tool-use": hook_output.withheld,
    "post-tool-use-failure": hook_output.unchecked,
}
"""The answers to those events that need an answer even if their hook fails."""

EVENTS: Final[dict[str, Callable[[_Hook, HookEvent], HookAnswer]]] = {
    "session-start": _session_start,
    "user-prompt-submit": _user_prompt_submit,
    "pre-tool-use": _pre_tool_use,
    "post-tool-use": _post_tool_use,
    "post-tool-use-failure": _post_tool_use_failure,
}
