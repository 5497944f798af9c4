"""Read the allowlist and the rules from a project's file, `.claude/secrets.yml`.

Always: every call is denied while the file is invalid, and the error gives the line and column. No error repeats the
file's content. Every call reads the file again.
"""

import os
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from claude_secrets.errors import Code, DeniedError, SecretsError
from claude_secrets.links import is_link_status
from claude_secrets.model import SHARED, Access, check_scope
from claude_secrets.paths import command
from claude_secrets.policy.globs import glob_match, is_glob, is_wild
from claude_secrets.policy.rules import Rules, RuleSource
from claude_secrets.policy.rules_parser import parse_rules
from claude_secrets.policy.strict_yaml import SIZE_LIMIT, Items, Mapping, Node, NotUnderstood, Text, once, parse
from claude_secrets.small_file import SmallFile, read_file

FILE: Final = ".claude/secrets.yml"

ABOUT_LIMIT: Final = 200
"""The most characters in an entry's `about`."""

URL_LIMIT: Final = 500
"""The most characters in an entry's `url`."""

WILD_LIMIT: Final = 100
"""The most entries with wildcards. There is a limit because every name is compared with all these entries."""

_OWN_KEYS: Final = ("scope", "allow", "policy")

# The characters of RFC 3986. Programs disagree about others, such as a backslash.
_ADDRESS = re.compile(r"[A-Za-z0-9:/?#\[\]@!$&'()*+,;=._~%-]+", re.ASCII)


class AllowlistEntry(NamedTuple):
    """An entry of an allowlist: a glob, and the access, note and address for all names that match the glob."""

    pattern: str
    access: Access | None = None
    about: str | None = None
    url: str | None = None


class Allowlist(NamedTuple):
    """The content of a project's file. The command `doctor` shows `warnings`."""

    scope: str = SHARED
    entries: tuple[AllowlistEntry, ...] = ()
    warnings: tuple[str, ...] = ()
    rules: Rules = Rules(source=RuleSource.PROJECT)

    @property
    def names(self) -> frozenset[str] | None:
        """All names in the allowlist, or None if an entry has wildcards."""
        patterns = frozenset(entry.pattern for entry in self.entries)
        return None if any(is_wild(pattern) for pattern in patterns) else patterns

    def entry_for(self, name: str) -> AllowlistEntry | None:
        """Return the first entry that matches `name`, or None if the allowlist denies the name.

        The returned entry is use-only if any matching entry is use-only.
        """
        covering = [entry for entry in self.entries if glob_match(entry.pattern, name)]
        if not covering:
            return None
        first = covering[0]
        access = Access.USE_ONLY if any(entry.access is Access.USE_ONLY for entry in covering) else first.access
        return AllowlistEntry(first.pattern, access, first.about, first.url)


def parse_allowlist(data: bytes, file: str = FILE, *, in_force: bool = True) -> Allowlist:
    """Parse the bytes of a project's file, and return its allowlist. An error calls the file `file`.

    `in_force` is as in `NotUnderstood.denied`.

    Raises:
        DeniedError: ALLOWLIST_INVALID, with line and column.
    """
    try:
        return _allowlist(data)
    except NotUnderstood as error:
        raise error.denied(file, in_force=in_force) from None


def is_allowlist(data: bytes) -> bool:
    """Return whether a file has a key that only a project's file has. A policy has none of these keys."""
    try:
        node = parse(data)
    except NotUnderstood:
        return False
    return isinstance(node, Mapping) and any(key.value in _OWN_KEYS for key, _ in node.entries)


def read_allowlist(project: Path) -> tuple[bytes, Allowlist]:
    """Read a project's file, and return its bytes and its allowlist.

    Raises:
        DeniedError: NO_ALLOWLIST or ALLOWLIST_INVALID.
    """
    data = read_allowlist_file(project).data
    return data, parse_allowlist(data)


def read_allowlist_file(project: Path) -> SmallFile:
    """Read a project's file. Links inside the project are refused, so the file cannot be outside the project.

    Raises:
        DeniedError: NO_ALLOWLIST if the file is missing, ALLOWLIST_INVALID if it is not a plain file of at most 16 KiB.
    """
    try:
        file = _read_plain_file(project)
    except FileNotFoundError:
        raise DeniedError(
            Code.NO_ALLOWLIST,
            f"{project} has no {FILE}, so its agents may not use any secrets.",
            f"The person can create the file in that directory: {command()} init",
        ) from None
    except OSError:
        raise _unreadable("it is a link, is not a plain file, or is not readable") from None
    if len(file.data) > SIZE_LIMIT:
        raise _unreadable(f"it has more than {SIZE_LIMIT} bytes")
    return file


def _unreadable(problem: str) -> DeniedError:
    return DeniedError(
        Code.ALLOWLIST_INVALID,
        f"{FILE} cannot be read: {problem}. Everything is denied until this problem is fixed.",
        f"Make {FILE} a plain file of at most {SIZE_LIMIT} bytes inside the project.",
    )


if sys.platform == "win32":

    def _read_plain_file(project: Path) -> SmallFile:
        """Read the file. Windows has no directory descriptors, so the checks are separate."""
        inner = project / ".claude"
        status = inner.lstat()
        if is_link_status(status) or not stat.S_ISDIR(status.st_mode):
            raise OSError
        return read_file(inner / "secrets.yml", limit=SIZE_LIMIT)

else:

    def _read_plain_file(project: Path) -> SmallFile:
        steps = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        root = os.open(project, steps)
        try:
            inner = os.open(".claude", steps | os.O_NOFOLLOW, dir_fd=root)
        finally:
            os.close(root)
        try:
            return read_file("secrets.yml", limit=SIZE_LIMIT, directory=inner)
        finally:
            os.close(inner)


@once
def _allowlist(data: bytes) -> Allowlist:
    node = parse(data)
    if node is None or (isinstance(node, Text) and node.kind == "null"):
        return Allowlist()
    scope = SHARED
    entries: tuple[AllowlistEntry, ...] = ()
    warnings: tuple[str, ...] = ()
    rules = Rules(source=RuleSource.PROJECT)
    for key, value in _entries(node, "the file must be a mapping"):
        if key.value == "scope":
            scope = _checked_scope(value)
        elif key.value == "allow":
            entries = _allow(value)
        elif key.value == "policy":
            rules = parse_rules(value, RuleSource.PROJECT)
        elif key.value == "inject_values":
            warnings = ("`inject_values` is a key of an older version and has no effect.",)
        elif not key.value.startswith("x-"):
            raise NotUnderstood(key.mark, "unknown key; the keys are scope, allow, policy and x-…")
    return Allowlist(scope, entries, warnings, rules)


def _checked_scope(node: Node) -> str:
    try:
        return check_scope(_text(node))
    except SecretsError as error:
        raise NotUnderstood(node.mark, error.message.rstrip(".")) from None


def _allow(node: Node) -> tuple[AllowlistEntry, ...]:
    if isinstance(node, Text):
        if node.kind == "null":
            return ()
        if node.value == "*":
            return (AllowlistEntry("*"),)
        raise NotUnderstood(node.mark, 'allow must be a list of names, or "*" (with the quotes) to allow all names')
    if not isinstance(node, Items):
        raise NotUnderstood(node.mark, 'allow must be a list of names, or "*" (with the quotes) to allow all names')
    entries = tuple(_entry(item) for item in node.items)
    wild = [item for item, entry in zip(node.items, entries, strict=True) if is_wild(entry.pattern)]
    if len(wild) > WILD_LIMIT:
        raise NotUnderstood(wild[WILD_LIMIT].mark, f"there are more than {WILD_LIMIT} entries with * or ?")
    return entries


def _entry(node: Node) -> AllowlistEntry:
    if isinstance(node, Text):
        return AllowlistEntry(_glob(node))
    fields: dict[str, Node] = {}
    for key, value in _entries(node, "an entry must be a name, or a mapping with the key `name`"):
        if key.value not in ("name", "access", "about", "url"):
            raise NotUnderstood(key.mark, "unknown key; the keys of an entry are name, access, about and url")
        fields[key.value] = value
    if "name" not in fields:
        raise NotUnderstood(node.mark, "this entry has no `name`")
    return AllowlistEntry(
        _glob(fields["name"]),
        _optional(fields.get("access"), _access),
        _optional(fields.get("about"), _about),
        _optional(fields.get("url"), _url),
    )


_Made = TypeVar("_Made")


def _optional(node: Node | None, make: Callable[[Node], _Made]) -> _Made | None:
    return None if node is None else make(node)


def _glob(node: Node) -> str:
    text = _text(node)
    if not is_glob(text):
        raise NotUnderstood(
            node.mark, "a name must have 1 to 128 ASCII letters, digits, '_', '.', '-', or the wildcards * and ?"
        )
    return text


def _access(node: Node) -> Access:
    text = _text(node)
    if text not in (Access.READABLE, Access.USE_ONLY):
        raise NotUnderstood(node.mark, "access must be readable or use-only")
    return Access(text)


def _about(node: Node) -> str:
    text = _text(node)
    if not text.isprintable() or not 0 < len(text) <= ABOUT_LIMIT:
        raise NotUnderstood(node.mark, f"about must be one line of at most {ABOUT_LIMIT} characters")
    return text


def _url(node: Node) -> str:
    text = _text(node)
    try:
        parts = urlsplit(text)
        local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
        fits = (parts.scheme == "https" or local) and bool(parts.hostname) and parts.username is None
        fits = fits and parts.port != 0  # reading the port checks it
    except ValueError:
        fits = False
    if not fits or len(text) > URL_LIMIT or not _ADDRESS.fullmatch(text):
        raise NotUnderstood(
            node.mark, f"url must be an https:// or http://localhost address of at most {URL_LIMIT} ASCII characters"
        )
    return text


def _entries(node: Node, problem: str) -> tuple[tuple[Text, Node], ...]:
    if not isinstance(node, Mapping):
        raise NotUnderstood(node.mark, problem)
    return node.entries


def _text(node: Node) -> str:
    if not isinstance(node, Text):
        raise NotUnderstood(node.mark, "this must be text")
    if node.kind != "str":
        raise NotUnderstood(node.mark, "YAML does not read this as text; put it in quotes")
    return node.value
