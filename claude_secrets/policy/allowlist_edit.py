"""Add or remove a name in a project's file by editing its text, which keeps the person's comments and layout.

Always: the functions are pure. An edit fails if the new text does not parse as the old allowlist with exactly the
requested change.
"""

import re
from typing import Final

from claude_secrets.errors import Code, DeniedError
from claude_secrets.model import check_name
from claude_secrets.policy.allowlist import FILE, Allowlist, AllowlistEntry, parse_allowlist
from claude_secrets.policy.globs import glob_covers, is_glob, is_wild
from claude_secrets.policy.strict_yaml import Items, Mapping, Node, parse

TEMPLATE: Final = """\
# The secrets that this project's agents may use. Write no values here, and commit this file.
# An agent can use a secret only if its name is listed here, and only if this project stored it or you granted it.
#
# `claude-secrets allow NAME` adds a name. You can also write the list yourself, for example:
#
# allow:
#   - GITEA_TOKEN                      # one name
#   - GITHUB_*                         # * is any run of characters, ? is one
#   - name: STRIPE_*
#     access: use-only                 # agents read the value only with your consent
#     about: Stripe test mode          # shown when you are asked for the value
#     url: https://dashboard.stripe.com

allow: []

# With its own scope, this project's secrets are separate from those of other projects:
# scope: my-project
"""
"""The file that `init` writes. It allows nothing yet."""

_DASH = re.compile(r"[ \t]*-[ \t]+")
_REST = re.compile(r"[ \t]*(?:#.*)?")


def check_entry(text: str) -> str:
    """Return `text` if it is a valid name or a valid pattern. Raises `CallerError` INVALID_NAME if it is neither."""
    return text if is_wild(text) and is_glob(text) else check_name(text)


def covering(allowlist: Allowlist, name: str) -> AllowlistEntry | None:
    """Return the first entry that covers `name`, or None if no entry does.

    `name` may be a pattern. An entry covers a pattern if the entry matches every name that the pattern matches.
    """
    return next((entry for entry in allowlist.entries if glob_covers(entry.pattern, name)), None)


def add_entry(data: bytes, name: str) -> bytes | None:
    """Return the file with `name` added at the end of the allowlist, or None if an entry already covers `name`.

    `name` may be a pattern.

    Raises:
        CallerError: INVALID_NAME.
        DeniedError: ALLOWLIST_INVALID if the file is invalid, or if the person must edit it by hand.
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
    """Return the file without the entries whose pattern is exactly `name`, or None if no entry has that pattern.

    Raises:
        DeniedError: ALLOWLIST_INVALID if the file is invalid, or if the person must edit it by hand.
    """
    before = parse_allowlist(data)
    rest = tuple(entry for entry in before.entries if entry.pattern != name)
    if rest == before.entries:
        return None
    text, allow = data.decode("utf-8"), _allow(data)
    if isinstance(allow, Items):
        # The last entry is removed first, so that the positions of earlier entries stay valid.
        for number in reversed(range(len(before.entries))):
            if before.entries[number].pattern == name:
                text = _without(text, allow, number)
    return _checked(text, before, rest)


def _allow(data: bytes) -> Node | None:
    """Return the value of the key `allow`, or None if the file does not have this key."""
    file = parse(data)
    entries = file.entries if isinstance(file, Mapping) else ()
    return next((value for key, value in entries if key.value == "allow"), None)


def _append(text: str, allow: Items, item: str) -> str:
    """Add `item` after the list's last item, in the same style (in brackets or with dashes)."""
    last = allow.items[-1]
    if allow.flow:
        return f"{text[: last.end]}, {item}{text[last.end :]}"
    dash = _DASH.match(text, _line_start(text, last.start))
    prefix = dash[0] if dash else "  - "
    end = _line_end(text, last.end)
    separator = "" if text[:end].endswith("\n") else _newline(text)
    return f"{text[:end]}{separator}{prefix}{item}{_newline(text)}{text[end:]}"


def _fill(text: str, allow: Node, item: str) -> str:
    """Replace an `allow` that is empty (`[]`, `null` or no value) with a list that contains `item`."""
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
    if "#" in text[start : item.start]:  # the previous item has a comment, and its comma may stay
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
    """Return the name as YAML: in quotes if YAML would read the name without quotes as something else."""
    try:
        plain = parse_allowlist(f"allow: [{name}]".encode()).entries == (AllowlistEntry(name),)
    except DeniedError:
        plain = False
    return name if plain else f'"{name}"'


def _checked(edited: str, before: Allowlist, entries: tuple[AllowlistEntry, ...]) -> bytes:
    """Return the edited text as bytes.

    Raises:
        DeniedError: ALLOWLIST_INVALID if the text does not parse as the allowlist `before` with the new `entries`.
    """
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
