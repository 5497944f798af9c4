"""Read and edit one place in a configuration file in TOML.

Always: every byte outside the place stays, except for the comma before it in an inline table. After an edit, the file
is parsed again, and only the place differs.
"""

from collections.abc import Sequence

from claude_secrets.clients import toml_edits
from claude_secrets.clients.text import Key, decode, unreadable, unwritable
from claude_secrets.clients.toml_tree import Document, parse
from claude_secrets.clients.toml_values import dump, node_of, plain, same


def read(data: bytes, keys: Sequence[Key]) -> object | None:
    """Return the value at a place as Python's own types, or None if the place is empty.

    Raises UnreadableFileError for a file that `put` would not edit.
    """
    return plain(parse(decode(data).body).lookup(keys))


def put(data: bytes, keys: Sequence[Key], value: object) -> bytes:
    """Set the value at a place, and make the tables that do not exist.

    A dictionary becomes a table with a header, after the last table with the same parent or at the end of the file.
    Dictionaries in it become inline tables. In an inline table, the value becomes the last member. If the place already
    has this value, nothing changes.

    Raises UnreadableFileError if the file is not valid, or if a value on the way is no table. Raises CallerError if
    TOML cannot hold the value.
    """
    text, node = decode(data), node_of(value)
    document = parse(text.body)
    names = _names(keys)
    if same(document.lookup(names), node):
        return data
    after = _put(document, names, value)
    if not same(parse(after).tree, _with_place(document.tree, names, [node])):
        raise unreadable("the edit would change other parts of the file", text.body, 0)
    return text.encode(after)


def drop(data: bytes, keys: Sequence[Key], *, containers: int = 0) -> bytes:
    """Remove the value at a place. If the place is empty, nothing changes.

    Also remove up to `containers` empty tables around it, from the inside out. With the number that
    `missing_containers` gave before `put`, the file gets the bytes back that it had before.

    Raises UnreadableFileError for a file that `put` would not edit.
    """
    text = decode(data)
    document = parse(text.body)
    names = _names(keys)
    for outer in range(min(containers + 1, len(names))):
        way = names[: len(names) - outer]
        value = document.lookup(way)
        if value is None or (outer and value != {}):
            break
        after = parse(_drop(document, way))
        _check_dropped(document, after, way)
        document = after
    return text.encode(document.text)


def missing_containers(data: bytes, keys: Sequence[Key]) -> int:
    """Return how many tables `put` would make around a place.

    Raises UnreadableFileError for a file that `put` would not edit.
    """
    document = parse(decode(data).body)
    document.lookup(keys)
    return sum(document.lookup(keys[:end]) is None for end in range(1, len(keys)))


def _names(keys: Sequence[Key]) -> tuple[str, ...]:
    if not keys or not all(isinstance(key, str) for key in keys):
        raise unwritable()
    return tuple(map(str, keys))


def _put(document: Document, keys: tuple[str, ...], value: object) -> str:
    old = document.lookup(keys)
    if old is not None:
        span = toml_edits.value_span(document, keys)
        if span:
            return document.text[: span[0]] + dump(value) + document.text[span[1] :]
        if isinstance(old, dict) and isinstance(value, dict):
            return _updated(document, keys, old, value)
        document = parse(_drop(document, keys))
    inline = toml_edits.inline_table(document, keys)
    if inline:
        return toml_edits.with_member(document.text, *inline, dump(value))
    if not isinstance(value, dict) and len(keys) > 1 and document.lookup(keys[:-1]) is None:
        keys, value = keys[:-1], {keys[-1]: value}
    if isinstance(value, dict):
        return toml_edits.with_table(document, keys, value)
    return toml_edits.with_key(document, keys, dump(value))


def _updated(document: Document, keys: tuple[str, ...], old: dict[str, object], value: dict[str, object]) -> str:
    """Return the text with a new value of a table with a header or dotted keys. Equal members stay as they are."""
    for key in old:
        if key not in value:
            document = parse(_drop(document, (*keys, key)))
    for key, one in value.items():
        if not same(document.lookup((*keys, key)), node_of(one)):
            document = parse(_put(document, (*keys, key), one))
    if document.lookup(keys) is None:  # a table without a header is gone with its last member
        return _put(document, keys, value)
    return document.text


def _drop(document: Document, keys: tuple[str, ...]) -> str:
    inline = toml_edits.inline_table(document, keys)
    if not inline:
        return toml_edits.without_statements(document, keys)
    return toml_edits.without_members(document.text, inline[0], inline[2])


def _check_dropped(before: Document, after: Document, keys: tuple[str, ...]) -> None:
    """Check that only the place is gone, and perhaps tables around it that had no header of their own."""
    expected = _with_place(before.tree, keys, [])
    for end in range(len(keys) - 1, -1, -1):
        if same(after.tree, expected):
            return
        if not end or Document("", expected, []).lookup(keys[:end]) != {}:
            break
        expected = _with_place(expected, keys[:end], [])
    raise unreadable("the edit would change other parts of the file", before.text, 0)


def _with_place(tree: dict[str, object], keys: Sequence[str], new: Sequence[object]) -> dict[str, object]:
    """Return the tree with `new` at a place: one value, or nothing to remove the place."""
    inner = tree.get(keys[0], {})
    placed = dict(tree)
    placed.pop(keys[0], None)
    if len(keys) > 1:
        placed[keys[0]] = _with_place(inner if isinstance(inner, dict) else {}, keys[1:], new)
    elif new:
        placed[keys[0]] = new[0]
    return placed
