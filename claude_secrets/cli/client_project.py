"""Choose the project of a client that starts servers in no project's directory, such as Claude Desktop.

Always: the project is made only after its client was registered.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from claude_secrets.cli import guide
from claude_secrets.cli.asking import is_at_terminal
from claude_secrets.cli.listing import short
from claude_secrets.cli.output import flush
from claude_secrets.clients.changed_files import ChangedFiles
from claude_secrets.clients.known import Client
from claude_secrets.errors import CallerError, Code, DeniedError
from claude_secrets.paths import expanded, home, home_directories
from claude_secrets.policy import allowlist_file
from claude_secrets.policy.allowlist import FILE
from claude_secrets.policy.allowlist_edit import TEMPLATE
from claude_secrets.policy.project import real_path

_PROPOSED: Final = "Claude"
"""The directory that is proposed, in the home directory."""


def choose_project(named: str | None, needing: Sequence[Client], *, yes: bool) -> Path | None:
    """Return the directory for the clients that need one. Return None if the person leaves these clients out.

    `named` is the argument of `--project`. If it is None, the person is asked, and `~/Claude` is proposed. With `yes`,
    the proposal is taken.

    Raises:
        CallerError: INVALID_ARGUMENTS if nobody can be asked.
        DeniedError: NO_PROJECT if the directory cannot be a project.
    """
    if not needing:
        return None
    if named is not None:
        return _checked(expanded(named))
    proposal = home() / _PROPOSED
    if yes:
        return _checked(proposal)
    if not is_at_terminal():
        titles = " and ".join(client.title for client in needing)
        each = "starts" if len(needing) == 1 else "start"
        problem = f"{titles} {each} servers in no project's directory, so you must choose the project."
        raise CallerError(Code.INVALID_ARGUMENTS, problem, f"Add --project DIR, or --yes for {short(str(proposal))}.")
    return _asked(needing, proposal)


def make_project(client: Client, directory: Path, files: ChangedFiles) -> bool:
    """Make the project's directory and an empty allowlist, if they are missing. Return whether the allowlist was made.

    Raises:
        DeniedError: ALLOWLIST_INVALID if the allowlist cannot be written.
        SecretsError: the record for undoing this cannot be written.
    """
    file = directory / FILE
    missing = [one for one in reversed((file.parent, *file.parent.parents)) if not os.path.lexists(one)]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        raise DeniedError(Code.NO_PROJECT, f"The directory {directory} cannot be made.") from None
    if not allowlist_file.create(directory, TEMPLATE.encode()):
        return False
    files.note_made(client.id, file, TEMPLATE.encode(), tuple(missing))
    return True


def _asked(needing: Sequence[Client], proposal: Path) -> Path | None:
    from claude_secrets.prompt.terminal import confirm, read_line

    titles = " and ".join(client.title for client in needing)
    each = "starts" if len(needing) == 1 else "start"
    why = f"{titles} {each} servers in no project. Agents need one: a directory with a list of allowed names."
    guide.paragraph(why)
    flush()
    made = "" if proposal.exists() else " (it will be made)"
    if confirm(f"Use {short(str(proposal))}{made} as the project of {titles}?", default=True):
        return _checked(proposal)
    typed = read_line(f"Another directory (empty: leave out {titles}):")
    return _checked(expanded(typed)) if typed else None


def _checked(directory: Path) -> Path:
    real = Path(real_path(directory))
    if any(one.is_relative_to(real) for one in home_directories()):
        problem = "Your home directory and the directories above it cannot be projects."
        raise DeniedError(Code.NO_PROJECT, problem, "Choose another directory.")
    if directory.exists() and not directory.is_dir():
        raise DeniedError(Code.NO_PROJECT, f"{directory} is not a directory.", "Choose another directory.")
    return directory
