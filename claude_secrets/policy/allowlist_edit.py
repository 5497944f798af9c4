"""Add a name to a project's file, or remove one, as text: the person's comments and layout stay.

Always: pure. The edited text must parse as the old allowlist with exactly that change, or nothing is changed.
"""

import re
from typing import Final

from claude_secrets.errors import Code, DeniedError
from claude_secrets.model import check_name
from claude_secrets.policy.allowlist import FILE, Allowlist, AllowlistEntry, parse_allowlist
from claude_secrets.policy.globs import glob_covers, is_glob, is_wild
from claude_secrets.policy.strict_yaml import Items, Mapping, Node, parse

TEMPLATE: Final = """\
# Which secrets the agents of this project may use. No values belong here; commit this file.
# An agent can use a name only if it is listed, and only secrets that this project stored or that you allowed it.
#
# `claude-secrets allow NAME` adds a name; or write the list yourself, such as:
#
# allow:
#   - GITEA_TOKEN                      # one name
#   - GITHUB_*                         # * is any run of characters, ? is one
#   - name: STRIPE_*
#     access: use-only                 # agents read the value only with your consent
#     about: Stripe test mode          # shown when you are asked for the value
#     url: https://dashboard.stripe.com

allow: []

# A scope of its own keeps this project's secrets apart from those of other projects:
# scope: my-project
"""
"""The file that `init` writes. It allows nothing yet."""

_DASH = re.compile(r"[ \t]*-[ \t]+")
_REST = re.compile(r"[ \t]*(?:#.*)?")


def check_entry(text: str) -> str:
    """Return `text` if it is a name, or a pattern of names. Raises `CallerError` INVALID_NAME."""
    return text if is_wild(text) and is_glob(text) else check_name(text)


def covering(allowlist: Allowlist, name: str) -> AllowlistEntry | None:
    """Return the first entry that covers a name, or all names of a pattern; None if no entry does."""
    return next((entry for entry in allowlist.entries if glob_covers(entry.pattern, name)), None)


def add_entry(data: bytes, name: str) -> bytes | None:
    """Return the file with a name or pattern added at the end of its list; None if an entry already covers it.

    Raises:
        CallerError: INVALID_NAME.
        DeniedError: ALLOWLIST_INVALID, also if the person must edit the file by hand.
    """
    before = parse_allowlist(data)
    if covering(before, check_entry(name)) is not None:
        return None
    text, item = data.decode("utf-8"), _spelled(name)
    allow = _allow(data)
    if isinstance(allow, Items) and allow.items:
        edited = _append(text, allow, item)
    elif allow is not None:
        edited = _fill(text, allow, item)
    else:
        separator = "" if not text or text.endswith("\n") else _newline(text)
        edited = f"{text}{separator}allow:{_newline(text)}  - {item}{_newline(text)}"
    return _checked(edited, before, (*before.entries, AllowlistEntry(name)))


def remove_entry(data: bytes, name: str) -> bytes | None:
    """Return the file without the entries that are exactly `name`; None if there is no such entry.

    Raises:
        DeniedError: ALLOWLIST_INVALID, also if the person must edit the file by hand.
    """
    before = parse_allowlist(data)
    rest = tuple(entry for entry in before.entries if entry.pattern != name)
    if rest == before.entries:
        return None
    text, allow = data.decode("utf-8"), _allow(data)
    if isinstance(allow, Items):
        # From the end, so that the places of earlier entries stay valid.
        for number in reversed(range(len(before.entries))):
            if before.entries[number].pattern == name:
                text = _without(text, allow, number)
    return _checked(text, before, rest)


def _allow(data: bytes) -> Node | None:
    """Return the value of the key `allow`, or None if there is no such key."""
    file = parse(data)
    entries = file.entries if isinstance(file, Mapping) else ()
    return next((value for key, value in entries if key.value == "allow"), None)


def _append(text: str, allow: Items, item: str) -> str:
    """Add `item` after the last one, in the style of the list."""
    last = allow.items[-1]
    if allow.flow:
        return f"{text[: last.end]}, {item}{text[last.end :]}"
    dash = _DASH.match(text, _line_start(text, last.start))
    prefix = dash[0] if dash else "  - "
    end = _line_end(text, last.end)
    separator = "" if text[:end].endswith("\n") else _newline(text)
    return f"{text[:end]}{separator}{prefix}{item}{_newline(text)}{text[end:]}"


def _fill(text: str, allow: Node, item: str) -> str:
    """Make `item` the first entry of an empty list, of `null` or of a key without a value."""
    end = _line_end(text, allow.end)
    rest = text[allow.end : end].rstrip("\r\n")
    before = text[: allow.start].rstrip(" \t")
    if not _REST.fullmatch(rest):
        return f"{before} [{item}]{text[allow.end :]}"
    return f"{before}{rest}{_newline(text)}  - {item}{_newline(text)}{text[end:]}"


def _without(text: str, allow: Items, number: int) -> str:
    item = allow.items[number]
    if not allow.flow:
        start, end = _line_start(text, item.start), _line_end(text, item.end)
        return text[:start] + text[end:]
    if number + 1 < len(allow.items):
        return text[: item.start] + text[allow.items[number + 1].start :]
    start = allow.items[number - 1].end if number else item.start
    if "#" in text[start : item.start]:  # a comment on the previous item; its comma may stay
        start = item.start
    return text[:start] + text[item.end :]


def _line_start(text: str, position: int) -> int:
    return text.rfind("\n", 0, position) + 1


def _line_end(text: str, position: int) -> int:
    """Return the start of the line after `position`, or `position` if it is already the start of a line."""
    if text[:position].endswith("\n"):
        return position
    end = text.find("\n", position)
    return len(text) if end < 0 else end + 1


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _spelled(name: str) -> str:
    """Return the name, in quotes if YAML would not read it as this name."""
    try:
        plain = parse_allowlist(f"allow: [{name}]".encode()).entries == (AllowlistEntry(name),)
    except DeniedError:
        plain = False
    return name if plain else f'"{name}"'


def _checked(edited: str, before: Allowlist, entries: tuple[AllowlistEntry, ...]) -> bytes:
    """Return the bytes of the edited text if they parse as `before` with `entries`; else raise."""
    data = edited.encode("utf-8")
    try:
        after = parse_allowlist(data)
    except DeniedError:
        after = None
    if after != before._replace(entries=entries):
        raise DeniedError(
            Code.ALLOWLIST_INVALID,
            f"{FILE} cannot be edited automatically without changing other lines.",
            "Edit the list under `allow:` in the file by hand.",
        )
    return data
