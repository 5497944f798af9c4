"""Whether a client starts servers in a directory. Gemini CLI starts none in a folder that the person does not trust.

Always: this module only reads, and no error repeats the content of a file. The rules were taken from the bundle of
Gemini CLI 0.61.0. The settings of the whole system and the trust that an editor reports are not read.
"""

import os
from pathlib import Path
from typing import Final

from claude_secrets.clients import json_text
from claude_secrets.clients.changed_files import find_file
from claude_secrets.clients.known import Account, Client

_FOLDERS: Final = "trustedFolders.json"
_PARENT: Final = "TRUST_PARENT"
_TRUSTED: Final = ("TRUST_FOLDER", _PARENT)


def starts_servers_in(client: Client, account: Account, directory: Path) -> bool:
    """Return whether the client starts servers when the person starts it in this directory.

    Raises:
        CallerError: INVALID_ARGUMENTS if the client's file about this cannot be read or understood.
    """
    if client.id != "gemini":
        return True
    environment = account.environment
    if environment.get("GEMINI_RESTRICTED_MODE") == "true":
        return False
    chosen = environment.get("GEMINI_CLI_TRUST_WORKSPACE")
    if chosen in {"true", "false"}:
        return chosen == "true"
    settings = client.file(account)
    data = find_file(settings).data
    if data is not None and json_text.read(data, ("security", "folderTrust", "enabled")) is False:
        return True
    file = account.named("GEMINI_CLI_TRUSTED_FOLDERS_PATH") or settings.with_name(_FOLDERS)
    data = find_file(file).data
    rules = None if data is None else json_text.read(data, ())
    return isinstance(rules, dict) and _is_trusted(rules, directory)


def _is_trusted(rules: dict[object, object], directory: Path) -> bool:
    """Apply the rule with the longest path. Without a rule for the directory, Gemini CLI asks, and starts nothing."""
    real, longest, level = os.path.realpath(directory), "", None
    for path, value in rules.items():
        if isinstance(path, str) and len(path) > len(longest):
            covered = Path(os.path.realpath(Path(path).parent if value == _PARENT else path))
            if Path(real).is_relative_to(covered):
                longest, level = path, value
    return level in _TRUSTED
