"""Find the .env files of a directory, and the variables in them that look like secrets.

Always: files are read and never changed. No result and no `repr` contains a value. That a variable looks like a secret
is a guess, and nothing is refused because of a guess.
"""

import os
import re
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.errors import SecretsError
from claude_secrets.person import import_files
from claude_secrets.person.import_files import FileKind
from claude_secrets.plain_file import read_plain_file
from claude_secrets.redaction.credentials import kinds_in

SIZE_LIMIT: Final = 1 << 20
"""The size of the largest file that is read, in bytes. A larger file is reported as not readable."""

FILES_LIMIT: Final = 10
"""The largest number of files that are read."""

_FILE: Final = re.compile(r"\.env(?:\.[A-Za-z0-9_.-]+)?")
_WITHOUT_VALUES: Final = frozenset(
    ("example", "examples", "sample", "template", "tmpl", "tpl", "dist", "defaults", "schema", "vault", "before-import")
)
"""Endings of files that show which variables there are, hold encrypted values, or are copies that `import` made."""

_SECRET: Final = re.compile(r"(?:.*(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|APIKEY)|KEY|PASS|PWD|PAT|CREDENTIALS?)")
_PUBLIC: Final = frozenset(("PUBLIC", "PUBLISHABLE", "SITE"))
_QUALIFIERS: Final = frozenset(
    ("BASE", "BASE64", "DEV", "DEVELOPMENT", "LIVE", "LOCAL", "PROD", "PRODUCTION", "SANDBOX", "STAGING", "TEST")
)
_SWITCHES: Final = frozenset(("true", "false", "yes", "no", "on", "off", "none", "null"))


class EnvFile(NamedTuple):
    """A .env file: its path, its number of variables with a value, and those names that look like secrets.

    `is_readable` is false if `import` would refuse the file. There are then no names.
    """

    path: Path
    variables: int
    names: tuple[str, ...]
    is_readable: bool = True


def env_files(directory: Path) -> list[EnvFile]:
    """Return the .env files directly in a directory, by name. Templates and things that are no files are left out."""
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208  only the names are needed
    except OSError:  # a directory that cannot be listed shows no files
        return []
    found = [directory / name for name in names if _FILE.fullmatch(name) and not _is_template(name)]
    return [_read(path) for path in [path for path in found if path.is_file()][:FILES_LIMIT]]


def looks_like_secret(name: str, value: str) -> bool:
    """Return whether a variable's name or value looks like a secret's."""
    if kinds_in(value):
        return True
    words = [word for word in re.split(r"[_.-]+", name.upper()) if word]
    while len(words) > 1 and (words[-1] in _QUALIFIERS or words[-1].isdecimal()):
        words.pop()
    is_switch = value.lower() in _SWITCHES or (value.isdecimal() and len(value) < 6)
    return bool(words and _SECRET.fullmatch(words[-1])) and _PUBLIC.isdisjoint(words) and not is_switch


def _is_template(name: str) -> bool:
    return not _WITHOUT_VALUES.isdisjoint(name.lower().split("."))


def _read(path: Path) -> EnvFile:
    try:
        data = read_plain_file(path, limit=SIZE_LIMIT).data
        contents = import_files.read_entries(FileKind.DOTENV, data, lambda: b"")
    except SecretsError:  # `import` reports the reason
        return EnvFile(path, 0, (), is_readable=False)
    names = tuple(entry.name for entry in contents.entries if looks_like_secret(entry.name, entry.value))
    return EnvFile(path, len(contents.entries), names, is_readable=not contents.problems)
