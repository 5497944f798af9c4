"""Read and edit one place in a configuration file in JSON, with or without comments and trailing commas.

Always: every byte outside the place stays, except for the comma before it. After an edit, the file is parsed again, and
only the place differs.
"""

from collections.abc import Sequence

from claude_secrets.clients import json_edits
from claude_secrets.clients.json_tree import (
    Container,
    Document,
    Node,
    at_place,
    node_of,
    parse,
    plain,
    with_place,
)
from claude_secrets.clients.text import Key, decode, unreadable, unwritable


def read(data: bytes, keys: Sequence[Key]) -> object | None:
    """Return the value at a place as Python's own types, or None if the place is empty.

    Raises UnreadableFileError for a file that `put` would not edit.
    """
    document = parse(decode(data).body)
    if not keys:
        return plain(document.tree)
    if document.locate(keys).member is None:
        return None
    return plain(at_place(document.tree, keys))


def put(data: bytes, keys: Sequence[Key], value: object) -> bytes:
    """Set the value at a place, and make the containers that do not exist.

    A new member comes after the other members. An index that equals the list's length appends an element. If the place
    already has this value, nothing changes.

    Raises UnreadableFileError if the file is not valid, if a value on the way is no container, or if the index is too
    large. Raises CallerError if JSON cannot hold the value.
    """
    if not keys:
        raise unwritable()
    text, node = decode(data), node_of(value)
    document = parse(text.body)
    if document.tree is None:
        root = _nested(document, [], keys, value)
        return text.encode(_checked(document, json_edits.with_root(document, root), node_of(root), 0))
    place = document.locate(keys)
    container = place.containers[-1]
    if place.member is not None:
        if at_place(document.tree, keys) == node:
            return data
        after = json_edits.with_value(document, place.containers, place.member, value)
        expected = with_place(document.tree, keys, [node])
        return text.encode(_checked(document, after, expected, place.member.start))
    way, rest = keys[: len(place.containers)], keys[len(place.containers) :]
    if isinstance(way[-1], int) and way[-1] != len(container.members):
        raise unreadable("the list here is shorter", text.body, container.open)
    inner = _nested(document, place.containers, rest, value)
    after = json_edits.with_member(document, place.containers, way[-1], inner)
    expected = with_place(document.tree, way, [node_of(inner)])
    return text.encode(_checked(document, after, expected, container.open))


def drop(data: bytes, keys: Sequence[Key], *, containers: int = 0) -> bytes:
    """Remove the member or element at a place. If the place is empty, nothing changes.

    Also remove up to `containers` containers around it, from the inside out, until one still has a member or a comment.
    With the number that `missing_containers` gave before `put`, the file gets the bytes back that it had before.

    Raises UnreadableFileError for a file that `put` would not edit.
    """
    if not keys:
        raise unwritable()
    text = decode(data)
    document = parse(text.body)
    for outer in range(containers + 1):
        way = keys[: len(keys) - outer]
        if not way:
            return text.encode(json_edits.without_hollow_root(document))
        place = document.locate(way)
        member = place.member
        if member is None or document.tree is None or (outer and not document.is_hollow(member.value, member.end)):
            break
        after = json_edits.without_member(document, place.containers[-1], member)
        _checked(document, after, with_place(document.tree, way, []), member.start)
        document = parse(after)
    return text.encode(document.text)


def missing_containers(data: bytes, keys: Sequence[Key]) -> int:
    """Return how many containers `put` would make for a place. The top level of an empty file is one of them.

    Raises UnreadableFileError for a file that `put` would not edit.
    """
    return len(keys) - len(parse(decode(data).body).locate(keys).containers)


def _nested(document: Document, containers: list[Container], keys: Sequence[Key], value: object) -> object:
    """Return the value inside new containers, so that `keys` name it there."""
    for key in reversed(keys):
        if isinstance(key, int) and key:
            raise unreadable("the list does not exist here", document.text, containers[-1].open if containers else 0)
        value = {key: value} if isinstance(key, str) else [value]
    return value


def _checked(document: Document, after: str, expected: Node, position: int) -> str:
    if parse(after).tree != expected:
        raise unreadable("the edit would change other parts of the file", document.text, position)
    return after
