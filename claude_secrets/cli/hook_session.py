"""Tell the model at the start of a session which secrets the project's agents may use, or why they may use none.

Always: no text contains a value or a word of the project's files. If the agents may use no secrets, the text is short
and asks the agent to speak of it only if a credential is needed, because most directories need no secrets.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from claude_secrets.agent.gate import Gate
from claude_secrets.cli.hook_output import HookAnswer, specific
from claude_secrets.errors import Code, DeniedError
from claude_secrets.model import Call, Done, Tool
from claude_secrets.paths import command, home_directories, in_own_terminal
from claude_secrets.policy.allowlist import read_allowlist
from claude_secrets.policy.project import CallOrigin, locate, real_path, too_high

NAMES_LIMIT: Final = 100
"""The largest number of names that the model gets at the start of a session."""

NAME_LENGTH: Final = 64
"""The length of the longest name that the model gets then, in characters: a longer name could be a message."""

_EMPTY: Final = (
    "This project's allowlist of Claude Secrets is empty. Only if a credential is needed, call input_secret, and never "
    "ask for the value in the chat; the person can add a name when input_secret asks."
)


def answer(where: CallOrigin, gate: Callable[[], Gate]) -> HookAnswer:
    """Return the text for a session in the directory of `where`, or None if there is nothing to say.

    `gate` opens the agents' gate. It is called only if the project's allowlist allows a name.

    Raises:
        SecretsError: the store, the rules or the person's own files cannot be read.
    """
    text = _text(where, gate)
    return None if text is None else specific("SessionStart", additionalContext=text)


def _text(where: CallOrigin, gate: Callable[[], Gate]) -> str | None:
    try:
        project = locate(where, homes=home_directories()).path
    except DeniedError as error:
        without = error.code in (Code.NO_PROJECT, Code.NO_ALLOWLIST)
        return _no_allowlist(where.working_directory) if without else None
    try:
        allowlist = read_allowlist(project)[1]
    except DeniedError as error:
        return _unreadable(project) if error.code is Code.ALLOWLIST_INVALID else None
    return _names(where, gate()) if allowlist.entries else _EMPTY


def _no_allowlist(directory: Path) -> str | None:
    """Return the text for a directory without an allowlist, or None if the directory cannot become a project."""
    try:
        real = Path(real_path(directory))
    except DeniedError:  # the path leads nowhere
        return None
    if real in too_high(home_directories()) or not real.is_dir():
        return None
    return (
        "This project has no allowlist of Claude Secrets, so its agents can use no secrets. Only if a credential is "
        "needed, tell the person to make the allowlist, and never ask for the value in the chat; otherwise do not "
        f"mention this. The person can make it: {in_own_terminal(real, 'init')}"
    )


def _unreadable(project: Path) -> str:
    return (
        "This project's allowlist of Claude Secrets cannot be read, so its agents can use no secrets. Only if a "
        "credential is needed, say so, and never ask for the value in the chat. The person can find out why: "
        f"{in_own_terminal(project, 'doctor')}"
    )


def _names(where: CallOrigin, gate: Gate) -> str | None:
    outcome = gate.call(Call(tool=Tool.LIST_SECRETS), where, client="hook")
    if not isinstance(outcome, Done):
        return None
    names, use_only = outcome.data["names"], outcome.data["use_only"]
    if not isinstance(names, list) or not isinstance(use_only, list) or not names:
        return None
    entered = gate.entered_by_person(where, names)
    # Agents choose names, too, and a name can be a message to agents of later sessions.
    safe = [name for name in names if name in entered and len(name) <= NAME_LENGTH][:NAMES_LIMIT]
    listed = ", ".join(f'"{name}" (use-only)' if name in use_only else f'"{name}"' for name in safe)
    left = len(names) - len(safe)
    rest = f"{left}{' more' * bool(safe)} (call list_secrets for their names)" if left else ""
    return (
        f"Claude Secrets keeps credentials for this project: {' and '.join(part for part in (listed, rest) if part)}. "
        f"To use one without seeing its value: `{command()} exec --only NAME -- COMMAND`, or secret://NAME in a .env "
        f"file and `{command()} exec -- COMMAND`. If a credential is missing, call input_secret, which asks the person "
        "for it; never ask for it in the chat."
    )
